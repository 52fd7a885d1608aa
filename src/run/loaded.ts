import { totalmem } from 'node:os'
import { type Effect, effect } from '../error.ts'
import { chooseExecutor } from '../execute/choose.ts'
import type { Executor } from '../execute/executor.ts'
import { inHalf } from '../execute/in-half.ts'
import type { Definition } from '../experiment/define.ts'
import type { Half } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type LoadedRun, loaded } from './handle.ts'
import { isHeld } from './held-run.ts'
import { openFolder } from './open.ts'
import type { Opened } from './opened.ts'
import { openModel } from './published.ts'
import type { WeightOptions } from './trained-run.ts'

/** Runs and models in programs. */

export type { CallOptions, LoadedRun, LossRequest } from './handle.ts'

/** How a run is opened. */
export interface LoadOptions extends Omit<WeightOptions, 'definition'> {
  /** What `defineExperiment` gave, of a run whose experiment has functions. */
  readonly definition?: Definition
  /** By name, as `latentgraph doctor` lists them, or itself; that of the experiment where left out. */
  readonly executor?: string | Executor
  /** Products and activations in 16 bits, for devices that have it. */
  readonly precision?: 'float32' | Half
}

/** Programs of a run that are kept: for as many kinds of requests as are usual, in half of the memory. */
const limits = { programs: 16, bytes: totalmem() / 2 }

const engineOf = ({ executor: asked, precision = 'float32' }: LoadOptions, opened: Opened): Effect<Executor> =>
  pipe(
    asked === undefined || typeof asked === 'string'
      ? pipe(
          chooseExecutor(asked ?? opened.executor),
          TE.map(({ executor }) => executor),
        )
      : TE.right(asked),
    TE.map((executor) => (precision === 'float32' ? executor : inHalf(precision)(executor))),
  )

const load = (open: Effect<Opened>, options: LoadOptions): Effect<LoadedRun> =>
  effect(async (run) => {
    const opened = await run(open)
    const engine = await engineOf(options, opened)()
    if (E.isRight(engine)) return loaded(opened, engine.right, limits)
    await opened.dispose()
    return run(TE.left(engine.left))
  })

/**
 * Opens the folder of a run: one that was trained here, or a published model that was imported. Errors: `usage`, no run there; `file`,
 * `config`, `training`, `compile`.
 *
 * @example
 * const run = await orThrow(loadRun('runs/emoji'))
 * const [picture] = await orThrow(run.sample({ class: 'Animals & Nature', count: 1, seed: 7 }))
 * if (picture !== undefined) await orThrow(writePicture('animal.png', picture))
 * run.dispose()
 */
export const loadRun = (folder: string, options: LoadOptions = {}): Effect<LoadedRun> => {
  const { checkpoint, ema, definition } = options
  return load(openFolder(folder, { checkpoint, ema, definition }), options)
}

/**
 * The same, or a model where it lies: a folder of diffusers, or a checkpoint, as `latentgraph import` would read it. Errors: those of
 * `loadRun`, and what of the model cannot be drawn.
 *
 * @example
 * const model = await orThrow(loadModel('downloads/stable-diffusion-v1-5'))
 * const pictures = await orThrow(model.sample({ prompt: 'a castle in fog', count: 1 }))
 */
export const loadModel = (path: string, options: LoadOptions = {}): Effect<LoadedRun> =>
  effect(async (run) => run((await isHeld(path)) ? loadRun(path, options) : load(openModel({ path }), options)))
