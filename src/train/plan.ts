import { importanceBuffers } from '../diffusion/index.ts'
import { type Checked, collect } from '../error.ts'
import { adapterRules } from '../experiment/adapter.ts'
import { tells } from '../experiment/conditioning.ts'
import { classRules } from '../experiment/data-rules.ts'
import {
  diffusionLoss,
  diffusionValidation,
  type LatentDiffusion,
  latentDiffusion,
  samplingProgram,
} from '../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment, type FirstStage, type Training } from '../experiment/document.ts'
import {
  decoderGraph,
  encoderGraph,
  firstStageLosses,
  firstStageScope,
  firstStageStart,
  firstStageValidation,
  priorGraph,
  reconstructionGraph,
} from '../experiment/first-stage.ts'
import { type Own, ownRule } from '../experiment/own.ts'
import type { Pictures } from '../experiment/pictures.ts'
import { refusing } from '../experiment/problems.ts'
import { unsteered } from '../experiment/same.ts'
import { diffusedOf } from '../experiment/space.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import { contentHash } from '../graph/hash.ts'
import type { Shape } from '../graph/types.ts'
import type { Json } from '../io/checkpoint.ts'
import { inMicroBatches } from '../losses/index.ts'
import { E, pipe, RNEA } from '../prelude.ts'
import { withinBudget } from './budget.ts'
import { inPrecision } from './in-precision.ts'
import { groupOf } from './state.ts'
import { type OptimizerTurn, type StepPlan, stepOfTurns, trainingStep } from './step.ts'
import { monitorable, type ValidationGraph } from './validation.ts'

/** Parameters are grouped as published checkpoints group them: an autoencoder on its own is the `model`. */
export type Section = 'model' | 'first_stage' | 'unet'

export interface StagePlan {
  readonly name: 'first-stage' | 'diffusion'
  readonly section: Section
  readonly step: StepPlan
  /** What the first batch sets before the first step, by the names of the state it replaces. */
  readonly start?: Graph
  readonly validation: ValidationGraph
}
/** What is going to be trained: the graphs of each stage. */
export interface Plan {
  /** Absent where diffusion is on pictures, or an adapter is trained beside what another run has. */
  readonly firstStage?: StagePlan
  readonly diffusion?: StagePlan & { readonly model: LatentDiffusion }
}

/** One optimiser for the autoencoder, and in a contest another for the discriminator. */
export const firstStageStep = (
  stage: FirstStage,
  pictures: Pictures = { count: stage.training.batchSize },
): Checked<StepPlan> => {
  const { training, adversarial } = stage
  const { autoencoder, discriminator, amendment } = firstStageLosses(stage, pictures)
  const first: OptimizerTurn = { ...training, name: 'optimizer', ...autoencoder }
  if (discriminator === undefined || adversarial === undefined)
    return stepOfTurns([first], { ...training, order: 'simultaneous', amendment })
  const { optimizer = training.optimizer, learningRate = training.learningRate, order } = adversarial
  const second: OptimizerTurn = { ...training, optimizer, learningRate, name: 'discriminator', ...discriminator }
  return stepOfTurns([first, second], { ...training, order, amendment })
}

/** Whether a stage is told the pictures' classes. */
export const toldClasses = (e: Experiment): boolean =>
  tells('class', e.diffusion?.conditioning) || autoencoderOf(e)?.adversarial?.condition?.kind === 'class'

/** Faults of a part's graphs, which name layers, behind the part's JSON pointer. */
const of = (pointer: string): (<A>(part: Checked<A>) => Checked<A>) =>
  E.mapLeft(RNEA.map((e) => (e.at.startsWith('/') ? e : { ...e, at: `${pointer}: ${e.at}` })))

/** Everything an experiment declares, as graphs; nothing has run. Errors: `config`, `shape`, each with its JSON pointer. */
export const planExperiment = (e: Experiment, classes: number, own: Own = {}): Checked<Plan> =>
  pipe(
    refusing([...ownRule(e, own), ...classRules(e, classes)]),
    E.bind('firstStage', () => of('/firstStage')(planFirstStage(e, classes))),
    E.bind('diffusion', () => of('/diffusion')(planDiffusion(e, classes, own))),
    E.map(({ firstStage, diffusion }) => ({
      ...(firstStage === undefined ? {} : { firstStage }),
      ...(diffusion === undefined ? {} : { diffusion }),
    })),
  )

const planFirstStage = (e: Experiment, classes: number): Checked<StagePlan | undefined> => {
  const stage = autoencoderOf(e)
  if (stage === undefined || e.diffusion?.adapter !== undefined) return E.right(undefined)
  const pictures: Pictures = { count: stage.training.batchSize, classes }
  return pipe(
    E.Do,
    E.bind('step', () =>
      pipe(
        firstStageStep(stage, pictures),
        E.map(inPrecision(stage.training)),
        E.flatMap(withinBudget('/firstStage/training', stage.training)),
      ),
    ),
    E.bind('start', () => firstStageStart(stage, pictures)),
    E.bind('validation', () =>
      monitorable('/firstStage', stage.training, (count) => firstStageValidation(stage, { ...pictures, count })),
    ),
    E.map(({ step, start, validation }) => ({
      name: 'first-stage',
      section: e.diffusion === undefined ? 'model' : 'first_stage',
      step,
      ...(start === undefined ? {} : { start }),
      validation,
    })),
  )
}

/** The graphs that draw pictures of what was trained, for one picture: whatever would keep a run from ending is found before it begins. */
export const planDrawing = (e: Experiment, plan: Plan): Checked<readonly unknown[]> => {
  const stage = autoencoderOf(e)
  return collect<unknown>([
    ...(stage === undefined
      ? []
      : [
          of('/firstStage')(reconstructionGraph(stage, 1)),
          of('/firstStage')(priorGraph(stage, 1)),
          ...(e.diffusion === undefined
            ? []
            : [
                of('/firstStage')(encoderGraph(stage, e.diffusion.latents, 1)),
                of('/firstStage')(decoderGraph(stage, 1)),
              ]),
        ]),
    ...(plan.diffusion === undefined ? [] : [of('/sampling')(samplingProgram(plan.diffusion.model, e.sampling, 1))]),
  ])
}

const planDiffusion = (e: Experiment, classes: number, own: Own): Checked<Plan['diffusion']> => {
  const config = e.diffusion
  if (config === undefined) return E.right(undefined)
  return pipe(
    E.Do,
    E.bind('model', () => latentDiffusion(config, diffusedOf(e), classes, own)),
    E.bind('step', ({ model }) => {
      const { batchSize, microBatches } = config.training
      const loss = inMicroBatches(microBatches, batchSize, (n) => diffusionLoss(model, n))
      return pipe(
        trainingStep(loss, config.training),
        E.map(inPrecision(config.training)),
        E.flatMap(withinBudget('/diffusion/training', config.training)),
      )
    }),
    E.tap(({ step }) =>
      refusing(
        adapterRules(
          config.adapter,
          parameters(step.declared).map(({ name }) => name),
        ),
      ),
    ),
    E.bind('validation', ({ model }) =>
      monitorable('/diffusion', config.training, (count) => diffusionValidation(model, count)),
    ),
    E.map(({ model, step, validation }) => ({ name: 'diffusion', section: 'unet', step, model, validation })),
  )
}

export const stagesOf = ({ firstStage, diffusion }: Plan): readonly StagePlan[] =>
  [firstStage, diffusion].filter((stage) => stage !== undefined)

export const trainingOf = (e: Experiment, { name }: StagePlan): Training | undefined =>
  name === 'first-stage' ? autoencoderOf(e)?.training : e.diffusion?.training

/** Facts that a stage's checkpoint says of its run, and a resumed run must share. */
export type Identity = Readonly<Record<string, Json>>

/**
 * The identity of each stage of an experiment. Its graph is that of the experiment without what may be changed while it is trained;
 * `held` is the SHA-256 of weights that never change, where the first stage has any; `base` of those that an adapter is trained beside,
 * `texts` of text encoders.
 */
export const identitiesOf = (
  e: Experiment,
  classes: number,
  plan: Plan,
  { held, base, texts }: { readonly held?: string; readonly base?: string; readonly texts?: string } = {},
  own: Own = {},
): Checked<Readonly<Record<StagePlan['name'], Identity>>> => {
  const bare = unsteered(e)
  const same = JSON.stringify(bare) === JSON.stringify(e)
  return pipe(
    same ? E.right(plan) : planExperiment(bare, classes, own),
    E.map((p) => {
      const of = (stage: StagePlan | undefined): Identity =>
        stage === undefined ? {} : { stage: stage.name, seed: e.seed, graph: contentHash(stage.step.graph) }
      return {
        'first-stage': { ...of(p.firstStage), ...(held === undefined ? {} : { held }) },
        diffusion: {
          ...of(p.diffusion),
          ...(base === undefined ? {} : { base }),
          ...(texts === undefined ? {} : { texts }),
        },
      }
    }),
  )
}

/** Buffers that are not the model's. */
const setByTraining: readonly string[] = ['scale_factor', ...Object.values(importanceBuffers)]

/** The model's own parameters, without the optimiser's and the average's arrays, what the loop sets, and a first stage that is a part. */
export const modelParameters = (
  stage: StagePlan,
): readonly { readonly name: string; readonly shape: Shape; readonly trainable: boolean }[] =>
  Object.values(Object.fromEntries(parameters(stage.step.declared).map((p) => [p.name, p])))
    .filter(
      ({ name, trainable }) =>
        groupOf(name)[0] === 'parameters' &&
        !name.startsWith(`${firstStageScope}.`) &&
        (trainable || !setByTraining.includes(name)),
    )
    .map(({ name, shape, trainable }) => ({ name, shape, trainable }))
