import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, type Errors, effect, failure, type LatentError } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import { autoencoderOf, type Experiment, experiment } from '../experiment/document.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import { type Difference, differences } from '../experiment/same.ts'
import { readBytes, sha256 } from '../io/bytes.ts'
import { E, O, type Option, pipe, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { type Found, newestStanding, passedOver, type Standing } from './checkpoints.ts'
import type { Parted } from './data.ts'
import { type DataFacts, dataFacts, parseDataFacts, sameData } from './data-facts.ts'
import { doing, note } from './events.ts'
import type { Replan } from './fitting.ts'
import type { Base, HeldTexts, RunOptions } from './options.ts'
import { perceptualWeights } from './perceptual-weights.ts'
import { type Identity, identitiesOf, type Plan, planExperiment, type StagePlan, stagesOf, trainingOf } from './plan.ts'
import { prepare } from './prepare.ts'
import { hasWeightsAlone, weightsAlone } from './weights.ts'

/** Everything that is known of a run before anything of it is written: its data, its graphs, where its stages stand. */

export interface OpenedStage<S extends StagePlan = StagePlan> {
  readonly stage: S
  readonly identity: Identity
  /** Absent: the stage is at its beginning. */
  readonly standing?: Standing
  readonly standingBelow: (done: number) => Effect<Found>
  readonly replan: Replan
}

export interface Opened {
  readonly data: Parted
  readonly facts: DataFacts
  readonly plan: Plan
  /** Weights of the first stage's loss that never change. */
  readonly constants: Values
  /** Absent where diffusion is on pictures. */
  readonly firstStage?: OpenedStage
  readonly diffusion?: OpenedStage<NonNullable<Plan['diffusion']>>
}

export const experimentFile = (dir: string): string => join(dir, 'experiment.json')
export const dataFile = (dir: string): string => join(dir, 'data.json')

const textOf = (path: string): Effect<Option<string>> =>
  existsSync(path)
    ? pipe(
        readBytes(path),
        TE.map((bytes) => O.some(new TextDecoder().decode(bytes))),
      )
    : TE.right(O.none)

const refuse = (errors: readonly LatentError[]): Effect<void> => {
  const [first, ...rest] = errors
  return first === undefined ? TE.right(undefined) : TE.left<Errors, void>([first, ...rest])
}

const show = (u: unknown): string => (u === undefined ? 'nothing' : JSON.stringify(u))

const cutOff = 'an import was cut off, or the file removed: import again into another folder, or put it back'

/** What the folder was trained as so far, and how that may be changed. */
const formerly = (e: Experiment, { dir, tell }: RunOptions): Effect<Option<readonly Difference[]>> =>
  effect(async (run) => {
    const path = experimentFile(dir)
    const text = await run(textOf(path))
    if (O.isNone(text)) {
      const stage = ['first-stage', 'diffusion'].find((name) => existsSync(join(dir, name)))
      if (stage !== undefined)
        await run(refuse([failure('training', path, 'the experiment of the run', `none, beside ${stage}`, cutOff)]))
      await run(tell(note(`${dir}: nothing was trained there yet; the run begins`)))
      return O.none
    }
    const was = await run(TE.fromEither(pipe(parseJsonText(text.value, path), E.flatMap(decode(experiment)))))
    const { another, steers } = differences(was, e)
    const hint = 'train into another folder to change it'
    await run(
      refuse(
        another.map((d) => failure('training', `${path}: ${d.at}`, `${show(d.was)}, as the run had`, show(d.is), hint)),
      ),
    )
    return O.some(steers)
  })

const claimData = (e: Experiment, facts: DataFacts, { dir, tell }: RunOptions): Effect<void> =>
  effect(async (run) => {
    const text = await run(textOf(dataFile(dir)))
    if (O.isNone(text))
      return run(tell(note(`${dir} does not say which pictures it was trained on: they are taken to be these`)))
    await run(
      TE.fromEither(
        pipe(
          parseDataFacts(text.value, dataFile(dir)),
          E.flatMap((was) => sameData('path' in e.data ? e.data.path : e.data.kind, was, facts)),
        ),
      ),
    )
  })

/** A digest of weights that are read from files; undefined where there are none. */
export const digest = (constants: Values): string | undefined => {
  const entries = Object.entries(constants)
  if (entries.length === 0) return undefined
  return sha256(
    entries
      .map(([name, { data }]) => `${name} ${sha256(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))}`)
      .toSorted()
      .join('\n'),
  )
}

/** What changed may take effect from where the stages stand on. */
const refuseLate = (
  e: Experiment,
  steers: readonly Difference[],
  stages: readonly OpenedStage[],
): readonly LatentError[] => {
  const begun = stages.some(({ stage, standing }) => stage.name === 'diffusion' && standing !== undefined)
  const late = steers.filter(({ at }) => begun && at.startsWith('/firstStage/'))
  return [
    ...late.map(({ at, was, is }) =>
      failure(
        'training',
        at,
        `${show(was)}, as the run had: its diffusion is learnt on what the first stage was`,
        show(is),
        'train into another folder to change it',
      ),
    ),
    ...stages.flatMap(({ stage, standing }) => {
      const steps = trainingOf(e, stage)?.steps ?? 0
      return standing === undefined || standing.done <= steps
        ? []
        : failure(
            'training',
            `/${stage.name === 'diffusion' ? 'diffusion' : 'firstStage'}/training/steps`,
            `at least ${standing.done}, which are done`,
            String(steps),
            'train into another folder for fewer',
          )
    }),
  ]
}

/**
 * Reads and checks all that a run needs; writes nothing. Errors: `data`, `file`, `config`; `training`, a folder that cannot go on
 * as this experiment.
 */
export const openExperiment = (
  e: Experiment,
  o: RunOptions,
  { base, texts }: { readonly base?: Base | undefined; readonly texts?: HeldTexts | undefined } = {},
): Effect<Opened> =>
  effect(async (run) => {
    const { dir, tell, resume } = o
    const exported = ['first-stage', 'diffusion'].map((name) => join(dir, name)).filter(hasWeightsAlone)
    await run(refuse(exported.map(weightsAlone)))
    const steers = resume ? await run(formerly(e, o)) : O.none
    await run(tell(doing('reading the pictures')))
    const { dataset, data, plan, lines } = await run(prepare(e, o.executor.name, o.own))
    const facts = dataFacts(dataset)
    if (O.isSome(steers)) await run(claimData(e, facts, o))
    for (const line of lines) await run(tell(note(line)))
    const autoencoder = autoencoderOf(e)
    const constants =
      autoencoder === undefined || plan.firstStage === undefined
        ? {}
        : await run(perceptualWeights(autoencoder, plan.firstStage.step))
    const [heldDigest, baseDigest] = [digest(constants), digest(base?.diffusion ?? {})]
    const identities = await run(
      TE.fromEither(
        identitiesOf(
          e,
          dataset.classes.length,
          plan,
          {
            ...(heldDigest === undefined ? {} : { held: heldDigest }),
            ...(baseDigest === undefined ? {} : { base: baseDigest }),
            ...(texts === undefined ? {} : { texts: texts.sha256 }),
          },
          o.own,
        ),
      ),
    )
    const opened = <S extends StagePlan>(stage: S): Effect<OpenedStage<S>> =>
      effect(async (go) => {
        const identity = identities[stage.name]
        const replan: Replan = (other) =>
          pipe(
            planExperiment(other, dataset.classes.length, o.own),
            E.map((planned) => stagesOf(planned).find(({ name }) => name === stage.name)),
          )
        const standingBelow = (below: number): Effect<Found> =>
          newestStanding(join(dir, stage.name), { identity, like: stage.step.leaves, below })
        if (O.isNone(steers)) return { stage, identity, standingBelow, replan }
        const { standing, passed } = await go(standingBelow(Number.POSITIVE_INFINITY))
        if (passed.length > 0) await go(tell(note(passedOver(passed, standing))))
        return { stage, identity, standingBelow, replan, ...(standing === undefined ? {} : { standing }) }
      })
    await run(tell(doing('reading checkpoints')))
    const firstStage = plan.firstStage === undefined ? undefined : await run(opened(plan.firstStage))
    const diffusion = plan.diffusion === undefined ? undefined : await run(opened(plan.diffusion))
    const changed = O.isSome(steers) ? steers.value : []
    await run(
      refuse(
        refuseLate(
          e,
          changed,
          [firstStage, diffusion].filter((stage) => stage !== undefined),
        ),
      ),
    )
    for (const { at, was, is } of changed)
      await run(tell(note(`${at}: ${show(was)} until here, ${show(is)} from here on`)))
    return {
      ...{ data, facts, plan, constants },
      ...(firstStage === undefined ? {} : { firstStage }),
      ...(diffusion === undefined ? {} : { diffusion }),
    }
  })
