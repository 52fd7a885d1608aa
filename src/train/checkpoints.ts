import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Effect, effect, failure, type LatentError, showError } from '../error.ts'
import type { Value, Values } from '../execute/executor.ts'
import type { Types } from '../execute/feeds.ts'
import { removeFolder } from '../io/atomic.ts'
import { type CheckpointPlace, checkpointName, checkpointsIn, type Json, loadCheckpoint } from '../io/checkpoint.ts'
import { E, TE } from '../prelude.ts'
import { loadedState } from './state.ts'

/** The checkpoints of a stage: which are kept, and which one a run goes on from. */

const folderOf = (stageDir: string): string => join(stageDir, 'checkpoints')
export const checkpointPath = (stageDir: string, done: number): string => join(folderOf(stageDir), checkpointName(done))

/** Of a stage, the latest first; none where its folder is not there yet. Errors: `file`. */
export const checkpointsOf = (stageDir: string): Effect<readonly CheckpointPlace[]> =>
  existsSync(folderOf(stageDir)) ? checkpointsIn(folderOf(stageDir)) : TE.right([])

/** How many checkpoints that are due stay. */
const kept = 2

/**
 * Removes the checkpoints that a stage which has `done` steps needs no longer. The newest that are due stay; beside them the newest
 * that a stop made in between, while it is the last or they are too few; and until the stage is finished what it began with
 * (step 0), which nothing could make anew. So what a finished run leaves does not depend on where it was stopped.
 */
export const tidyCheckpoints = (
  stageDir: string,
  { every, steps, done }: { readonly every: number; readonly steps: number; readonly done: number },
): Effect<void> =>
  effect(async (run) => {
    const places = await run(checkpointsOf(stageDir))
    const isDue = ({ step }: CheckpointPlace): boolean => step % every === 0 || step === steps
    const past = places.filter(({ step }) => step <= done)
    const due = past.filter(isDue).slice(0, kept)
    const between = done === steps ? [] : past.filter((p) => !isDue(p)).slice(0, 1)
    const needed = between[0]?.step === done || due.length < kept ? [...due, ...between] : due
    for (const place of places)
      if (!needed.includes(place) && (place.step > 0 || done === steps)) await run(removeFolder(place.path))
  })

const finite = ({ data }: Value): boolean => {
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) return false
  return true
}

/** The first array of a state that holds a NaN or an infinity. */
export const notFinite = (state: Values): string | undefined =>
  Object.entries(state).find(([, value]) => !finite(value))?.[0]

/** Where a stage stands. */
export interface Standing {
  readonly done: number
  readonly state: Values
}

export interface Wanted {
  /** Facts that the checkpoint must share, where it says them. */
  readonly identity: Readonly<Record<string, Json>>
  /** The arrays of its state. */
  readonly like: Types
  /** Only checkpoints of fewer steps. */
  readonly below?: number
}

export interface Found {
  /** Absent: the stage is at its beginning. */
  readonly standing?: Standing
  /** What is wrong with newer checkpoints, which were passed over. */
  readonly passed: readonly LatentError[]
}

const noneWhole = 'none of its checkpoints is whole: put a copy back, or train into another folder'
const another = (at: string, [fact, value]: readonly [string, Json], got: Json | undefined): LatentError =>
  failure(
    'training',
    at,
    `a checkpoint with ${fact} ${JSON.stringify(value)}`,
    JSON.stringify(got),
    'it is of another experiment, or of another version of latentgraph: train into another folder, or without --resume',
  )

/**
 * The newest checkpoint of a stage that a run can go on from: whole and finite. Errors: `training`, a checkpoint of another run;
 * `file`, none that is whole.
 */
export const newestStanding = (
  stageDir: string,
  { identity, like, below = Number.POSITIVE_INFINITY }: Wanted,
): Effect<Found> =>
  effect(async (run) => {
    const passed: LatentError[] = []
    const places = (await run(checkpointsOf(stageDir))).filter(({ step }) => step < below)
    for (const { path } of places) {
      const loaded = await loadCheckpoint(path)()
      if (E.isLeft(loaded)) {
        passed.push(loaded.left[0])
        continue
      }
      const { step, groups, meta } = loaded.right
      const other = Object.entries(identity).find(
        ([fact, value]) => meta[fact] !== undefined && JSON.stringify(meta[fact]) !== JSON.stringify(value),
      )
      if (other !== undefined) return run(TE.left([another(path, other, meta[other[0]])]))
      const state = await run(TE.fromEither(loadedState(path, groups, like)))
      const broken = notFinite(state)
      if (broken === undefined) return { standing: { done: step, state }, passed }
      passed.push(failure('training', path, 'a checkpoint of finite numbers', `${broken} has others`))
    }
    const [first, ...rest] = passed.filter(({ tag }) => tag === 'file')
    if (first !== undefined) return run(TE.left([{ ...first, hint: noneWhole }, ...rest]))
    const [began] = places.slice(-1)
    const [worst] = passed.slice(-1)
    if (began?.step === 0 && worst !== undefined) return run(TE.left([worst]))
    return { passed }
  })

/** What is said of checkpoints that were passed over, and of the place that training goes on from. */
export const passedOver = (passed: readonly LatentError[], standing: Standing | undefined): string =>
  `${passed.map(showError).join('\n')}\ngoing on from ${standing === undefined ? 'the beginning' : `step ${standing.done}`} instead`
