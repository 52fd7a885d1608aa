import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, effect, failure, type LatentError } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import { checkpointDigest, type Json, loadCheckpoint, writeCheckpoint } from '../io/checkpoint.ts'
import type { UnwrittenArrays, WrittenDtype } from '../io/safetensors-writer.ts'
import { TE } from '../prelude.ts'
import type { CheckpointIdentity } from './evaluation/document.ts'
import { modelParameters, type StagePlan } from './plan.ts'
import { loadedState, storedValues, zeros } from './state.ts'

/** What of a trained stage is drawn with, and nothing else: neither moments of the optimiser nor losses. */

const weightsPath = (stageDir: string): string => join(stageDir, 'weights')

export const hasWeightsAlone = (stageDir: string): boolean => existsSync(weightsPath(stageDir))

/** Why such a stage cannot be trained. */
export const weightsAlone = (stageDir: string): LatentError =>
  failure('training', stageDir, 'a stage that can be trained on', 'its weights alone, as `export` writes them')

const ownOf = (stage: StagePlan) => modelParameters(stage).filter(({ name }) => !name.startsWith('loss.'))

/** The averaged weights of a stage where there are any, else the last, as they are written. */
export const drawnArrays = (stage: StagePlan, state: Values, dtype: WrittenDtype): UnwrittenArrays => {
  const weights = Object.fromEntries(
    ownOf(stage).flatMap(({ name, shape }) => {
      const found = state[`ema.shadow.${name}`] ?? state[name]
      return found === undefined ? [] : [[name, { ...found, shape }] as const]
    }),
  )
  return Object.fromEntries(
    Object.entries(storedValues(weights)).map(([name, array]) => [
      name,
      { dtype: array.dtype === 'float32' ? dtype : array.dtype, shape: array.shape, read: TE.right(array) },
    ]),
  )
}

/** Writes them. Errors: `file`. */
export const writeWeights = (
  stageDir: string,
  stage: StagePlan,
  state: Values,
  o: { readonly step: number; readonly dtype: WrittenDtype; readonly meta: { readonly [key: string]: Json } },
): Effect<void> =>
  writeCheckpoint(weightsPath(stageDir), {
    step: o.step,
    groups: { parameters: drawnArrays(stage, state, o.dtype) },
    meta: o.meta,
  })

/** Reads them. Errors: `file`; `training`, those of another stage. */
export const readWeights = (
  stageDir: string,
  stage: StagePlan,
): Effect<{ readonly state: Values; readonly checkpoint: CheckpointIdentity }> =>
  effect(async (run) => {
    const path = weightsPath(stageDir)
    const { step, groups } = await run(loadCheckpoint(path))
    const like = Object.fromEntries(ownOf(stage).map(({ name, shape }) => [name, zeros(shape)]))
    const state = await run(TE.fromEither(loadedState(path, groups, like)))
    return { state, checkpoint: { stage: stage.name, step, sha256: await run(checkpointDigest(path)) } }
  })
