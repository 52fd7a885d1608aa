import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, effect, failure, type LatentError } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import type { Types } from '../execute/feeds.ts'
import { type Monitor, rises } from '../experiment/validation.ts'
import { removeFolder } from '../io/atomic.ts'
import { type CheckpointPlace, checkpointName, checkpointsIn, loadCheckpoint } from '../io/checkpoint.ts'
import { TE } from '../prelude.ts'
import { loadedState } from './state.ts'

/** Which of a stage's states is its best so far, by a metric of held-out pictures, and where it is kept. */

/** A metric of the state after so many steps. */
export interface Measured {
  readonly step: number
  readonly value: number
}

/** The first that none is better than. */
export const bestOf = ({ metric }: Pick<Monitor, 'metric'>, history: readonly Measured[]): Measured | undefined =>
  history.reduce<Measured | undefined>(
    (best, x) => (best === undefined || (rises(metric) ? x.value > best.value : x.value < best.value) ? x : best),
    undefined,
  )

/** How many validations there were behind the best. */
export const sinceBest = (monitor: Monitor, history: readonly Measured[]): number => {
  const best = bestOf(monitor, history)
  return best === undefined ? 0 : history.filter(({ step }) => step > best.step).length
}

/** Whether a stage has no patience left. */
export const exhausted = (monitor: Monitor | undefined, history: readonly Measured[]): boolean =>
  monitor?.patience !== undefined && sinceBest(monitor, history) >= monitor.patience

const folderOf = (stageDir: string): string => join(stageDir, 'best')
export const bestPath = (stageDir: string, step: number): string => join(folderOf(stageDir), checkpointName(step))

/** The best states of a stage that are kept, the latest, which is the best, first. Errors: `file`. */
export const bestsOf = (stageDir: string): Effect<readonly CheckpointPlace[]> =>
  existsSync(folderOf(stageDir)) ? checkpointsIn(folderOf(stageDir)) : TE.right([])

export const noBest = (stageDir: string): LatentError =>
  failure(
    'file',
    folderOf(stageDir),
    'a state that is kept as the best',
    'none',
    'training.validate.monitor keeps one; the last is in checkpoints',
  )

/** The state that is kept as a stage's best, of the arrays of `like`. Errors: `file`, none, or one that is damaged. */
export const bestState = (stageDir: string, like: Types): Effect<Values> =>
  effect(async (run) => {
    const [best] = await run(bestsOf(stageDir))
    if (best === undefined) return run(TE.left([noBest(stageDir)]))
    const { groups } = await run(loadCheckpoint(best.path))
    return run(TE.fromEither(loadedState(best.path, groups, like)))
  })

/** Removes the kept states that `needed` does not want. */
export const tidyBests = (stageDir: string, needed: (step: number) => boolean): Effect<void> =>
  effect(async (run) => {
    for (const { path, step } of await run(bestsOf(stageDir))) if (!needed(step)) await run(removeFolder(path))
  })

/** What is best as of any of these steps: what a run that goes on from there may need. */
export const bestsAsOf = (
  monitor: Monitor,
  history: readonly Measured[],
  steps: readonly number[],
): readonly number[] =>
  steps.flatMap(
    (step) =>
      bestOf(
        monitor,
        history.filter((x) => x.step <= step),
      )?.step ?? [],
  )
