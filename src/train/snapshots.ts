import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { floats, type Values } from '../execute/executor.ts'
import type { PostHocEma } from '../experiment/post-hoc-ema.ts'
import { removeFolder } from '../io/atomic.ts'
import {
  type CheckpointPlace,
  checkpointName,
  checkpointsIn,
  type Json,
  loadCheckpoint,
  saveCheckpoint,
} from '../io/checkpoint.ts'
import { gammaOf, type PowerProfile, postHocAverage } from '../optimizers/index.ts'
import { TE } from '../prelude.ts'
import { loadedValues, powerName, storedValues } from './state.ts'

/** The averages of a stage that are stored as it is trained, and others made of them: post-hoc EMA (Karras et al. 2024). */

const folderOf = (stageDir: string): string => join(stageDir, 'averages')
const snapshotsOf = (stageDir: string): Effect<readonly CheckpointPlace[]> =>
  existsSync(folderOf(stageDir)) ? checkpointsIn(folderOf(stageDir)) : TE.right([])

const averageIn = (state: Values, i: number): Values => {
  const prefix = `ema.${powerName(i)}.shadow.`
  return Object.fromEntries(
    Object.entries(state).flatMap(([leaf, v]) => (leaf.startsWith(prefix) ? [[leaf.slice(prefix.length), v]] : [])),
  )
}

export const hasSnapshot = (stageDir: string, done: number): boolean =>
  existsSync(join(folderOf(stageDir), checkpointName(done)))

/** Stores the averages of a state. Errors: `file`. */
export const saveSnapshot = (
  stageDir: string,
  { sigmaRel }: PostHocEma,
  done: number,
  state: Values,
  identity: Readonly<Record<string, Json>>,
): Effect<void> =>
  saveCheckpoint(join(folderOf(stageDir), checkpointName(done)), {
    step: done,
    groups: Object.fromEntries(sigmaRel.map((_, i) => [powerName(i), storedValues(averageIn(state, i))])),
    meta: { ...identity, sigmaRel },
  })

/** Removes the snapshots that `needed` does not want. */
export const tidySnapshots = (stageDir: string, needed: (step: number) => boolean): Effect<void> =>
  effect(async (run) => {
    for (const { path, step } of await run(snapshotsOf(stageDir))) if (!needed(step)) await run(removeFolder(path))
  })

/** An average that was made after training. */
export interface Synthesised {
  /** By the names of the parameters. */
  readonly weights: Values
  readonly snapshots: number
  /** The step that it is an average up to. */
  readonly step: number
  /** See `Synthesis`. */
  readonly error: number
}

/** The average of a relative width up to the last snapshot. Errors: `file`, no snapshots, or damaged ones. */
export const synthesised = (stageDir: string, stored: PostHocEma | undefined, sigmaRel: number): Effect<Synthesised> =>
  effect(async (run) => {
    const places = stored === undefined ? [] : await run(snapshotsOf(stageDir))
    const [last] = places
    if (stored === undefined || last === undefined)
      return run(
        TE.left([
          failure(
            'file',
            folderOf(stageDir),
            'snapshots of averages',
            'none',
            'a stage that is trained with training.postHocEma stores them',
          ),
        ]),
      )
    const profiles = places.flatMap(({ step, path }) =>
      stored.sigmaRel.map((width, i): PowerProfile & { readonly path: string; readonly group: string } => ({
        step,
        gamma: gammaOf(width),
        path,
        group: powerName(i),
      })),
    )
    const { weights, error } = postHocAverage(profiles, { step: last.step, gamma: gammaOf(sigmaRel) })
    const sums = new Map<string, { readonly shape: readonly number[]; readonly sum: Float64Array }>()
    for (const { path } of places) {
      const { groups } = await run(loadCheckpoint(path))
      profiles.forEach((profile, i) => {
        if (profile.path !== path) return
        for (const [name, { shape, data }] of Object.entries(loadedValues(groups[profile.group] ?? {}))) {
          const { sum } = sums.get(name) ?? { sum: new Float64Array(data.length) }
          for (let j = 0; j < sum.length; j++) sum[j] = (sum[j] ?? 0) + (weights[i] ?? 0) * (data[j] ?? 0)
          sums.set(name, { shape, sum })
        }
      })
    }
    return {
      weights: Object.fromEntries(
        [...sums].map(([name, { shape, sum }]) => [name, floats(shape, Float32Array.from(sum))]),
      ),
      snapshots: places.length,
      step: last.step,
      error,
    }
  })
