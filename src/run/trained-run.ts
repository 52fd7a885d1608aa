import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, type Errors, effect, failure, type LatentError } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import { ownTextsOf } from '../experiment/conditioning.ts'
import { type Definition, sameOwn } from '../experiment/define.ts'
import type { LatentDiffusion } from '../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment, type FirstStage } from '../experiment/document.ts'
import type { FrozenText } from '../experiment/frozen-text.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import { loadExperiment } from '../experiment/load.ts'
import type { Monitor } from '../experiment/validation.ts'
import { readBytes } from '../io/bytes.ts'
import { checkpointDigest, loadCheckpoint } from '../io/checkpoint.ts'
import { asArgument } from '../io/names.ts'
import { E, pipe, RR, TE } from '../prelude.ts'
import { decode, list, number, record, text } from '../schema.ts'
import type { Words } from '../text/learnt.ts'
import type { TextReader } from '../text/prompt.ts'
import { baseOf, heldTextsOf } from '../train/base.ts'
import { checkpointsOf, notFinite } from '../train/checkpoints.ts'
import type { CheckpointIdentity } from '../train/evaluation/document.ts'
import { bestsOf, noBest } from '../train/monitor.ts'
import type { Base, HeldTexts } from '../train/options.ts'
import { type Plan, planExperiment, type StagePlan, trainingOf } from '../train/plan.ts'
import { synthesised } from '../train/snapshots.ts'
import { drawnGroups, groupOf, loadedState } from '../train/state.ts'
import type { StepPlan } from '../train/step.ts'
import { readWords, tokensOf } from '../train/texts.ts'
import { hasWeightsAlone, readWeights } from '../train/weights.ts'
import { resumeCommand } from './resume-command.ts'

/** A stage as its newest checkpoint has it. */
export interface TrainedStage {
  readonly state: Values
  /** SHA-256 of the text encoders that it was trained with, where it was. */
  readonly texts?: string
  readonly checkpoint: CheckpointIdentity
}

/** A finished run, ready to sample from. */
export interface TrainedRun {
  readonly experiment: Experiment
  readonly plan: Plan
  readonly model: LatentDiffusion
  readonly classes: readonly string[]
  /** Where the model reads texts. */
  readonly words?: Words
  readonly tokens?: TextReader
  /** What latents were multiplied by. */
  readonly scale: number
  readonly firstStage: Values
  readonly diffusion: Values
  /** What is to be said of weights that were averaged when the run was opened. */
  readonly average?: string
  readonly checkpoints: readonly CheckpointIdentity[]
}

const latents = record({ scale: number({ above: 0 }), classes: list(text) })

/** Which state of a stage draws: the last, or the best that was kept. */
export type Chosen = Monitor['use']

/** What a stage's run went on with: where none is kept as the best, the last. */
const declared = (dir: string, e: Experiment, stage: StagePlan): Effect<Chosen> =>
  pipe(
    bestsOf(join(dir, stage.name)),
    TE.map((bests) => (bests.length === 0 ? 'last' : (trainingOf(e, stage)?.validate?.monitor?.use ?? 'last'))),
  )

const drawnLeaves = ({ leaves }: StepPlan): StepPlan['leaves'] =>
  RR.filterWithIndex((name: string) => drawnGroups.some((group) => group === groupOf(name)[0]))(leaves)

/** What draws is whole and finite; a checkpoint that is not can be made again from the one before. */
const stateOf = (dir: string, stage: StagePlan, chosen: Chosen): Effect<TrainedStage> =>
  effect(async (run) => {
    const { name, step } = stage
    const stageDir = join(dir, name)
    if (hasWeightsAlone(stageDir)) return run(readWeights(stageDir, stage))
    const isBest = chosen === 'best'
    const [newest, before] = await run(isBest ? bestsOf(stageDir) : checkpointsOf(stageDir))
    if (newest === undefined)
      return run(
        TE.left([isBest ? noBest(stageDir) : failure('file', join(stageDir, 'checkpoints'), 'a checkpoint', 'none')]),
      )
    const wayOn =
      isBest || before === undefined
        ? undefined
        : `${resumeCommand(dir)} makes it again from that of step ${before.step}`
    const { groups, meta } = await run(TE.mapLeft(hinting(wayOn))(loadCheckpoint(newest.path, drawnGroups)))
    const state = await run(TE.fromEither(loadedState(newest.path, groups, drawnLeaves(step))))
    const broken = notFinite(state)
    return broken === undefined
      ? {
          state,
          checkpoint: { stage: name, step: newest.step, sha256: await run(checkpointDigest(newest.path)) },
          ...(typeof meta.texts === 'string' ? { texts: meta.texts } : {}),
        }
      : run(TE.left([failure('file', newest.path, 'a checkpoint of finite numbers', `${broken} has others`, wayOn)]))
  })

const hinting =
  (way: string | undefined) =>
  ([first, ...rest]: Errors): Errors => {
    const hint = [first.hint, way].filter((text) => text !== undefined).join('; ')
    return [hint === '' ? first : { ...first, hint }, ...rest]
  }

/** Which weights draw. */
export interface WeightOptions {
  /** What defined the run's experiment, where that has functions. */
  readonly definition?: Definition | undefined
  /** As declared where left out. */
  readonly checkpoint?: Chosen | undefined
  /** The relative width of an average that is made of the snapshots. */
  readonly ema?: number | undefined
}

/** The state with its average replaced by one that is made of the snapshots, and what is to be said of it. */
const withAverage = (dir: string, e: Experiment, { name }: StagePlan, state: Values, sigmaRel: number) =>
  pipe(
    synthesised(join(dir, name), e.diffusion?.training.postHocEma, sigmaRel),
    TE.map(({ weights, snapshots, step, error }) => ({
      state: { ...state, ...Object.fromEntries(Object.entries(weights).map(([k, v]) => [`ema.shadow.${k}`, v])) },
      average: `weights averaged over ${step} steps by sigma_rel ${sigmaRel}: of ${snapshots} snapshots, ${Number((100 * error).toPrecision(2))} % off`,
    })),
  )

/** Opens what an adapter is of: a run, or a published model. Errors: `file`, `config`, `training`. */
export const openBase = (dir: string, e: Experiment): Effect<Base> =>
  effect(async (run): Promise<Base> => {
    const { isPublishedRun } = await import('../pipelines/run-files.ts')
    if (!(await isPublishedRun(dir))) return run(openRun(dir))
    const { publishedBase } = await import('../pipelines/tuned.ts')
    return run(publishedBase(dir, e))
  })

/** Opens the text encoders of a condition. Errors: `file`, `config`. */
export const openTexts = (condition: FrozenText): Effect<HeldTexts> =>
  effect(async (run) => {
    const { heldTexts } = await import('../pipelines/held-texts.ts')
    return run(heldTexts(condition))
  })

/** The text encoders of a run as it was trained with them. Errors: those of opening them; `file`, others. */
const textsOf = (dir: string, e: Experiment, { texts: was }: TrainedStage): Effect<HeldTexts | undefined> =>
  effect(async (run) => {
    const file = join(dir, 'experiment.json')
    const hint = `put them back, or say in ${file} where they are now: /diffusion/conditioning/from`
    const found = await run(TE.mapLeft(hinting(hint))(heldTextsOf(e, { openTexts })))
    const { from = '' } = ownTextsOf(e.diffusion?.conditioning) ?? {}
    return found === undefined || was === undefined || found.sha256 === was
      ? found
      : run(
          TE.left([
            failure('file', from, `the text encoders that ${dir} was trained with, ${was}`, `${found.sha256}`, hint),
          ]),
        )
  })

const firstStageAlone = (dir: string): LatentError =>
  failure('file', dir, 'a run with a diffusion stage', 'a first stage alone')
const notBegun = (dir: string): LatentError =>
  failure(
    'training',
    dir,
    'a run whose diffusion model has begun to be trained',
    'one whose first stage is not done',
    `latentgraph list says how far it is; if it was stopped: latentgraph train ${asArgument(join(dir, 'experiment.json'))} --out ${asArgument(dir)} --resume`,
  )

/** Opens the folder of a run that has come to its diffusion stage. Errors: `file`, `config`, `training`. */
export const openRun = (dir: string, { checkpoint, ema, definition }: WeightOptions = {}): Effect<TrainedRun> =>
  effect(async (run) => {
    const experiment = await run(loadExperiment(join(dir, 'experiment.json')))
    await run(TE.fromEither(sameOwn(experiment, definition)))
    const path = join(dir, 'latents.json')
    if (experiment.diffusion === undefined) return run(TE.left([firstStageAlone(dir)]))
    if (!existsSync(path)) return run(TE.left([notBegun(dir)]))
    const bytes = await run(readBytes(path))
    const { scale, classes } = await run(
      TE.fromEither(
        pipe(
          parseJsonText(new TextDecoder().decode(bytes), path),
          E.flatMap(decode(latents, { tag: 'file', base: path })),
        ),
      ),
    )
    const plan = await run(TE.fromEither(planExperiment(experiment, classes.length, definition?.own)))
    if (plan.diffusion === undefined) return run(TE.left([firstStageAlone(dir)]))
    const own = (stage: StagePlan): Effect<Chosen> => declared(dir, experiment, stage)
    const base = await run(baseOf(experiment, { openBase }))
    const firstStage =
      plan.firstStage === undefined
        ? undefined
        : await run(stateOf(dir, plan.firstStage, await run(own(plan.firstStage))))
    const diffusion = await run(stateOf(dir, plan.diffusion, checkpoint ?? (await run(own(plan.diffusion)))))
    const texts = await run(textsOf(dir, experiment, diffusion))
    const made =
      ema === undefined ? undefined : await run(withAverage(dir, experiment, plan.diffusion, diffusion.state, ema))
    const { conditioner } = plan.diffusion.model
    const words = await run(readWords(dir, conditioner))
    const tokens = base?.tokens ?? texts?.tokens ?? (await run(TE.fromEither(tokensOf(conditioner, words))))
    return {
      experiment,
      plan,
      ...(words === undefined ? {} : { words }),
      ...(tokens === undefined ? {} : { tokens }),
      ...(made === undefined ? {} : { average: made.average }),
      model: plan.diffusion.model,
      classes,
      scale,
      firstStage: base?.firstStage ?? firstStage?.state ?? {},
      diffusion: { ...(base?.diffusion ?? texts?.weights), ...(made?.state ?? diffusion.state) },
      checkpoints: [firstStage, diffusion].flatMap((stage) => stage?.checkpoint ?? []),
    }
  })

/** The first stage of a run on pictures of so many classes, whether or not it has come further. Errors: `file`, `config`, `training`. */
export const openFirstStage = (
  dir: string,
  classes: number,
): Effect<TrainedStage & { readonly autoencoder: FirstStage }> =>
  effect(async (run) => {
    const experiment = await run(loadExperiment(join(dir, 'experiment.json')))
    const autoencoder = autoencoderOf(experiment)
    const { firstStage } = await run(TE.fromEither(planExperiment(experiment, classes)))
    if (autoencoder === undefined || firstStage === undefined)
      return run(TE.left([failure('file', dir, 'a run with a first stage', 'one whose diffusion is on pictures')]))
    const chosen = await run(declared(dir, experiment, firstStage))
    return { autoencoder, ...(await run(stateOf(dir, firstStage, chosen))) }
  })
