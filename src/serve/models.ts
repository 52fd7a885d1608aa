import { basename, join, resolve } from 'node:path'
import { type Effect, type Errors, showErrors } from '../error.ts'
import { isOwned } from '../io/owner.ts'
import { E } from '../prelude.ts'
import { checkpointsOf } from '../train/checkpoints.ts'
import { aboutOf } from './about.ts'
import type { About, ModelView } from './api.ts'
import type { Drawable, Load } from './drawable.ts'
import { hasTraining } from './training.ts'

/** The runs that are served. */

export interface Model {
  readonly id: string
  /** The folder as it was told, and where it is. */
  readonly run: string
  readonly folder: string
  /** What draws; nothing as long as the run has not come so far. */
  readonly loaded: () => Drawable | undefined
  /** The same as of the newest checkpoint, which a run that is still training may have made since. Only one that nobody draws by is let go: ask where nothing else runs. */
  readonly newest: () => Promise<Drawable | undefined>
  readonly about: () => About | undefined
  readonly view: () => Promise<ModelView>
  readonly dispose: () => Promise<void>
}

/** A run to be served: its folder, and prompts to try. */
export interface Offered {
  readonly run: string
  readonly examples?: readonly string[]
}

/** How often a run that cannot draw yet is opened again (ms). */
const pause = 10_000

/** Opens a run; one that is still training may come later. Errors: those of a run that cannot be opened, and that nobody trains. */
export const openModel = ({ id, run, examples = [] }: Offered & { readonly id: string }, load: Load): Effect<Model> => {
  const folder = resolve(run)
  const state: { loaded?: Drawable; step?: number | undefined; errors?: Errors; at: number; opening: boolean } = {
    ...{ at: 0, opening: false },
  }
  /** Of the newest checkpoint of what draws; none where there are weights alone. */
  const newestStep = async (): Promise<number | undefined> => {
    const found = await checkpointsOf(join(folder, 'diffusion'))()
    return E.isRight(found) ? found.right[0]?.step : undefined
  }
  const opened = async (): Promise<E.Either<Errors, Drawable>> => {
    const step = await newestStep()
    const found = await load(run)()
    state.at = performance.now()
    if (E.isRight(found)) {
      await state.loaded?.dispose()
      Object.assign(state, { loaded: found.right, step })
    } else state.errors = found.left
    return found
  }
  const open = async (): Promise<void> => {
    if (state.loaded !== undefined || state.opening || performance.now() - state.at < pause) return
    state.opening = true
    await opened()
    state.opening = false
  }
  const about = (): About | undefined =>
    state.loaded === undefined ? undefined : aboutOf(state.loaded.describe, examples)
  const model: Model = {
    id,
    run,
    folder,
    about,
    loaded: () => state.loaded,
    newest: async () => {
      const step = await newestStep()
      if (state.loaded !== undefined && step !== undefined && step !== state.step) await opened()
      return state.loaded
    },
    dispose: async () => {
      await state.loaded?.dispose()
    },
    view: async () => {
      await open()
      const known = about()
      return {
        id,
        run,
        name: known?.name ?? basename(folder),
        ...(known === undefined ? { why: showErrors(state.errors ?? [unopened]) } : { about: known }),
        trained: await hasTraining(folder),
        ...(state.step === undefined ? {} : { step: state.step }),
        growing: await isOwned(folder),
      }
    },
  }
  return async () => {
    const found = await opened()
    return E.isRight(found) || (await isOwned(folder)) ? E.right(model) : found
  }
}
const unopened = {
  tag: 'run',
  at: 'model',
  expected: 'a run that was opened',
  got: 'one that is being opened',
} as const
