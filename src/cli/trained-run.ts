import { join } from 'node:path'
import { type Effect, type Errors, effect, failure } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import type { LatentDiffusion } from '../experiment/diffusion-stage.ts'
import type { Experiment } from '../experiment/document.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import { loadExperiment } from '../experiment/load.ts'
import { readBytes } from '../io/bytes.ts'
import { checkpointDigest, loadCheckpoint } from '../io/checkpoint.ts'
import { E, pipe, TE } from '../prelude.ts'
import { decode, list, number, record, text } from '../schema.ts'
import { checkpointsOf, notFinite } from '../train/checkpoints.ts'
import type { CheckpointIdentity } from '../train/evaluation/document.ts'
import { planExperiment, type StagePlan } from '../train/plan.ts'
import { loadedState } from '../train/state.ts'
import { resumeCommand } from './resume-command.ts'

/** A stage as its newest checkpoint has it. */
export interface TrainedStage {
  readonly state: Values
  readonly checkpoint: CheckpointIdentity
}

/** A finished run, ready to sample from. */
export interface TrainedRun {
  readonly experiment: Experiment
  readonly model: LatentDiffusion
  readonly classes: readonly string[]
  /** What latents were multiplied by. */
  readonly scale: number
  readonly firstStage: Values
  readonly diffusion: Values
  readonly checkpoints: readonly CheckpointIdentity[]
}

const latents = record({ scale: number({ above: 0 }), classes: list(text) })

/** What draws is whole and finite; a checkpoint that is not can be made again from the one before. */
const stateOf = (dir: string, { name, step }: StagePlan, seed: number): Effect<TrainedStage> =>
  effect(async (run) => {
    const stageDir = join(dir, name)
    const [newest, before] = await run(checkpointsOf(stageDir))
    if (newest === undefined)
      return run(TE.left([failure('file', join(stageDir, 'checkpoints'), 'a checkpoint', 'none')]))
    const wayOn =
      before === undefined ? undefined : `${resumeCommand(dir)} makes it again from that of step ${before.step}`
    const { groups } = await run(TE.mapLeft(hinting(wayOn))(loadCheckpoint(newest.path)))
    const state = await run(TE.fromEither(loadedState(newest.path, groups, step.initial(seed))))
    const broken = notFinite(state)
    return broken === undefined
      ? { state, checkpoint: { stage: name, step: newest.step, sha256: await run(checkpointDigest(newest.path)) } }
      : run(TE.left([failure('file', newest.path, 'a checkpoint of finite numbers', `${broken} has others`, wayOn)]))
  })

const hinting =
  (way: string | undefined) =>
  ([first, ...rest]: Errors): Errors => {
    const hint = [first.hint, way].filter((text) => text !== undefined).join('; ')
    return [hint === '' ? first : { ...first, hint }, ...rest]
  }

/** Opens the folder of a run that has come to its diffusion stage. Errors: `file`, `config`, `training`. */
export const openRun = (dir: string): Effect<TrainedRun> =>
  effect(async (run) => {
    const experiment = await run(loadExperiment(join(dir, 'experiment.json')))
    const path = join(dir, 'latents.json')
    const bytes = await run(readBytes(path))
    const { scale, classes } = await run(
      TE.fromEither(
        pipe(
          parseJsonText(new TextDecoder().decode(bytes), path),
          E.flatMap(decode(latents, { tag: 'file', base: path })),
        ),
      ),
    )
    const plan = await run(TE.fromEither(planExperiment(experiment, classes.length)))
    if (plan.diffusion === undefined)
      return run(TE.left([failure('file', dir, 'a run with a diffusion stage', 'a first stage alone')]))
    const firstStage = await run(stateOf(dir, plan.firstStage, experiment.seed))
    const diffusion = await run(stateOf(dir, plan.diffusion, experiment.seed))
    return {
      experiment,
      model: plan.diffusion.model,
      classes,
      scale,
      firstStage: firstStage.state,
      diffusion: diffusion.state,
      checkpoints: [firstStage.checkpoint, diffusion.checkpoint],
    }
  })

/** The first stage of a run on pictures of so many classes, whether or not it has come further. Errors: `file`, `config`, `training`. */
export const openFirstStage = (
  dir: string,
  classes: number,
): Effect<TrainedStage & { readonly experiment: Experiment }> =>
  effect(async (run) => {
    const experiment = await run(loadExperiment(join(dir, 'experiment.json')))
    const { firstStage } = await run(TE.fromEither(planExperiment(experiment, classes)))
    return { experiment, ...(await run(stateOf(dir, firstStage, experiment.seed))) }
  })
