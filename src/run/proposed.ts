import { availableParallelism } from 'node:os'
import { type Survey, surveyFolder } from '../data/survey.ts'
import { type Effect, effect } from '../error.ts'
import { chooseExecutor } from '../execute/choose.ts'
import { decodeExperiment } from '../experiment/decode.ts'
import type { Experiment } from '../experiment/document.ts'
import {
  batchFor,
  type Choice,
  largestSide,
  type PictureFacts,
  proposedDocument,
  type Side,
  type Steps,
  sides,
  stepsWithin,
  usualSteps,
} from '../experiment/proposal.ts'
import { cost } from '../graph/cost.ts'
import { pipe, TE } from '../prelude.ts'
import { findData } from '../train/data.ts'
import { memoryHere, memoryOf } from '../train/memory.ts'
import { type Plan, planExperiment, type StagePlan } from '../train/plan.ts'
import { prepare } from '../train/prepare.ts'
import { stepPace } from './step-pace.ts'

/** What suits pictures and this machine, measured here. */

export interface Wanted {
  readonly name: string
  readonly schema: string
  /** A folder of pictures; generated shapes where left out. */
  readonly pictures: string | undefined
  /** What training is to take at most. */
  readonly seconds: number
  /** Pixels a side; what the pictures and the time allow where left out. */
  readonly size: Side | undefined
  readonly say: (line: string) => void
  readonly stopping: () => boolean
}

export interface Proposed {
  readonly survey: Survey | undefined
  readonly facts: PictureFacts
  readonly choice: Choice
  /** The document, given how it names the pictures. */
  readonly document: (data: object) => object
  readonly executor: string
  /** Seconds that a step of each stage takes here. */
  readonly pace: Steps
  /** Seconds that the whole training will take. */
  readonly seconds: number
}

/** Captions are worth more than classes, where every picture has one. */
const toldBy = ({ n, classes, classless, captions }: Survey): PictureFacts['told'] =>
  captions.length === n ? 'text' : classless === 0 && classes.length > 1 ? 'class' : 'none'

const wordsOf = (caption: string): number => caption.trim().split(/\s+/).length
const factsOf = (survey: Survey): PictureFacts => ({
  n: survey.n,
  classes: survey.classes.length,
  told: toldBy(survey),
  words: Math.max(0, ...survey.captions.map(wordsOf)),
})
/** Generated ones. */
const shapes: PictureFacts = { n: 6000, classes: 0, told: 'text', words: 9 }

/** Operations of a step of each stage. */
const flopsOf = ({ firstStage, diffusion }: Plan): Steps => ({
  firstStage: firstStage === undefined ? 0 : cost(firstStage.step.graph).flops,
  diffusion: diffusion === undefined ? 0 : cost(diffusion.step.graph).flops,
})

interface Planned {
  readonly choice: Choice
  readonly experiment: Experiment
  readonly plan: Plan
  readonly flops: Steps
  readonly memory: number
}

/** Of all the memory there is, as others need some too. */
const mostMemory = 1 / 2
/** Of the usual steps: fewer are not worth larger pictures. */
const leastShare = 0.6

const timeOf = (steps: Steps, pace: Steps): number =>
  steps.firstStage * pace.firstStage + steps.diffusion * pace.diffusion

/**
 * Looks at pictures, measures a few steps of what they would be trained by, and proposes the largest size that can be learnt in the
 * time. Errors: those of the pictures, each by name, and of those steps.
 */
export const proposed = (wanted: Wanted): Effect<Proposed> =>
  effect(async (run) => {
    const { name, schema, pictures, seconds, say } = wanted
    const survey = pictures === undefined ? undefined : await run(surveyFolder(pictures))
    const facts = survey === undefined ? shapes : factsOf(survey)
    const source = pictures === undefined ? { kind: 'shapes' } : { kind: 'folder', path: pictures }
    const parallel = availableParallelism() > 1
    const documentOf = (choice: Choice, data: object): object =>
      proposedDocument({ name, schema, data }, facts, choice, parallel)

    const planned = (choice: Choice): Effect<Planned> =>
      effect(async (go) => {
        const experiment = await go(TE.fromEither(decodeExperiment(documentOf(choice, source))))
        const found = await go(findData(experiment))
        const plan = await go(TE.fromEither(planExperiment(experiment, found.classes.length)))
        const { whole } = memoryOf(experiment, found, plan)
        return whole > mostMemory * memoryHere() && choice.batch > 8
          ? go(planned({ ...choice, batch: choice.batch / 2 }))
          : { choice, experiment, plan, flops: flopsOf(plan), memory: whole }
      })
    const { executor } = await run(chooseExecutor('auto'))
    const paceOf = ({ plan, choice: { size, batch } }: Planned): Effect<Steps> =>
      effect(async (go) => {
        say(`measuring steps at ${size}x${size}, ${batch} pictures a step`)
        const of = (stage: StagePlan | undefined): Promise<number> =>
          stage === undefined ? Promise.resolve(0) : go(stepPace(executor, stage, wanted.stopping))
        return { firstStage: await of(plan.firstStage), diffusion: await of(plan.diffusion) }
      })

    const usual = usualSteps(facts)
    const largest = survey === undefined ? 32 : largestSide(survey.shorter)
    const least = Math.min(32, largest)
    const candidates =
      wanted.size === undefined ? sides.filter((side) => side >= least && side <= largest) : [wanted.size]
    const plans = await run(
      pipe(
        candidates,
        TE.traverseSeqArray((size) => planned({ size, batch: batchFor(facts.n), steps: usual })),
      ),
    )
    const [begin] = plans
    if (begin === undefined) throw new Error('no size is a candidate')
    const first = await run(paceOf(begin))
    /** What a larger one would take, by its operations. */
    const expected = ({ flops }: Planned): Steps => ({
      firstStage: (first.firstStage * flops.firstStage) / begin.flops.firstStage,
      diffusion: (first.diffusion * flops.diffusion) / begin.flops.diffusion,
    })
    const affordable = (p: Planned): boolean =>
      leastShare * timeOf(usual, expected(p)) <= seconds && p.memory <= mostMemory * memoryHere()
    const chosen = plans.findLast(affordable) ?? begin
    const pace = chosen === begin ? first : await run(paceOf(chosen))
    const { lines } = await run(prepare(chosen.experiment))
    for (const line of lines) say(line)
    const steps = stepsWithin(seconds, usual, pace)
    const choice = { ...chosen.choice, steps }
    return {
      ...{ survey, facts, choice, executor: executor.name, pace },
      document: (data) => documentOf(choice, data),
      seconds: timeOf(steps, pace),
    }
  })
