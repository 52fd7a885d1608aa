import { totalmem } from 'node:os'
import { type Effect, effect, failure } from '../error.ts'
import { chooseExecutor } from '../execute/choose.ts'
import { type Executor, floats, type Value } from '../execute/executor.ts'
import { inHalf } from '../execute/in-half.ts'
import { keeping } from '../execute/keeping.ts'
import { defer, lifetime } from '../execute/lifetime.ts'
import type { Definition } from '../experiment/define.ts'
import { type Half, size } from '../graph/types.ts'
import { type Picture, picturesOf } from '../io/pictures.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type Items, joined } from '../train/inference.ts'
import { inColour } from '../train/pictures.ts'
import { stoppable, stopped } from '../train/stop.ts'
import { isHeld } from './held-run.ts'
import { openFolder } from './open.ts'
import type { Description, Opened, Parameter } from './opened.ts'
import { openModel } from './published.ts'
import { asFields, optionsOf, type SampleRequest, type SampleStep } from './request.ts'
import type { WeightOptions } from './trained-run.ts'

/** Runs and models in programs. */

/** A run, or a model, that is ready: what was compiled for one call is kept for the next, and calls run one after the other. */
export interface LoadedRun {
  /** A run that was trained here, or a published model. */
  readonly kind: 'own' | 'published'
  /** What can be asked of it. */
  readonly describe: Description
  /** The engine that it computes on. */
  readonly executor: string
  /**
   * Draws pictures: the same as `latentgraph sample` for the same seed and settings, to the byte. Errors: `usage` and `data`, at the
   * request's fields; `stopped`, within a step of an abort; `compile`, `run`.
   */
  readonly sample: (request?: SampleRequest) => Effect<readonly Picture[]>
  /**
   * Pictures to latents [n, C, h, w], without noise: the modes of their posteriors, as `decode` takes them. Pictures of another size are
   * cut and resized as `latentgraph sample --from` does. Errors: `usage`, `data`, `run`.
   */
  readonly encode: (pictures: readonly Picture[], options?: CallOptions) => Effect<Value>
  /** Latents [n, C, h, w] to pictures. Errors: `usage`, another shape; `run`. */
  readonly decode: (latents: Value, options?: CallOptions) => Effect<readonly Picture[]>
  /** What the first stage makes of pictures. Errors: as of `encode`. */
  readonly reconstruct: (pictures: readonly Picture[], options?: CallOptions) => Effect<readonly Picture[]>
  /** What it draws with: averages where there are some. */
  readonly parameters: readonly Parameter[]
  /** Lets go of all memory and files, behind the call that runs; every later one is a `run` error. */
  readonly dispose: () => void
}

export interface CallOptions {
  readonly signal?: AbortSignal
}

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

/** One effect after the other, in the order in which they are run. */
const inTurn = () => {
  let last: Promise<unknown> = Promise.resolve()
  return <A>(work: Effect<A>): Effect<A> =>
    () => {
      const turn = last.then(work)
      last = turn.catch(() => undefined)
      return turn
    }
}

const asValue = ({ n, shape, data }: Items): Value => floats([n, ...shape], data)

const together = (parts: readonly Items[]): Items => ({
  n: parts.length,
  shape: parts[0]?.shape ?? [],
  data: joined(parts.map(({ data }) => data)),
})

/** Values in [-1, 1] as pictures; those without colours of their own through the projection of a seed. */
const shown = (seed: number, items: Items): Effect<readonly Picture[]> => {
  const { n, shape, data } = inColour(items, seed)
  const [channels = 0, height = 0, width = 0] = shape
  return TE.fromEither(picturesOf(data, { n, channels, height, width }))
}

const loaded = (opened: Opened, engine: Executor): LoadedRun => {
  const { describe, kind, parameters } = opened
  const { executor, dispose } = keeping(engine, limits)
  const turn = inTurn()
  const { during, end } = lifetime(describe.name, 'run', () => {
    dispose()
    void opened.dispose()
  })
  /** A call with an executor that ends where the signal says so. */
  const call = <A>(signal: AbortSignal | undefined, body: (executor: Executor) => Effect<A>): Effect<A> => {
    const stopping = (): boolean => signal?.aborted === true
    return pipe(
      turn(during(defer(() => (stopping() ? TE.left([stopped()]) : body(stoppable(executor, stopping)))))),
      TE.mapLeft(asFields),
    )
  }
  const encoded = (own: Executor, pictures: readonly Picture[]): Effect<Items> =>
    effect(async (run) => {
      if (pictures.length === 0) return run(TE.left([failure('usage', 'pictures', 'at least one', 'none')]))
      const read: Items[] = []
      for (const [i, picture] of pictures.entries()) read.push(await run(opened.read(picture, `pictures[${i}]`)))
      const other = read.find(({ shape }) => `${shape}` !== `${read[0]?.shape}`)
      if (other !== undefined)
        return run(TE.left([failure('usage', 'pictures', 'pictures of one size', 'several sizes')]))
      return run(opened.encode(own, together(read)))
    })
  const decoded = (own: Executor, latents: Items): Effect<readonly Picture[]> =>
    pipe(
      opened.decode(own, latents),
      TE.flatMap((items) => shown(describe.defaults.seed, items)),
    )
  const latentsIn = ({ shape, data }: Value): Effect<Items> => {
    const [n = 0, ...rest] = shape
    return rest.length === 3 && n > 0 && data.length === size(shape)
      ? TE.right({ n, shape: rest, data: Float32Array.from(data) })
      : TE.left([failure('usage', 'latents', 'numbers [n, C, h, w]', `[${shape}] of ${data.length} numbers`)])
  }
  return {
    kind,
    describe,
    executor: engine.name,
    parameters,
    sample: (request = {}) =>
      call(request.signal, (own) =>
        effect(async (run) => {
          const { onStep, signal } = request
          const { begin, seed } = await run(
            opened.prepare(await run(TE.fromEither(optionsOf(request, describe, kind === 'published')))),
          )
          const { draw } = await run(begin(own))
          const drawn = await run(
            draw({
              watch: onStep !== undefined,
              onStep: ({ predicted, ...step }) =>
                effect(async (go) => {
                  const told: SampleStep = {
                    ...step,
                    predicted: () =>
                      predicted === undefined
                        ? TE.right([])
                        : pipe(
                            predicted,
                            TE.flatMap((items) => shown(seed, items)),
                          ),
                  }
                  await onStep?.(told)
                  if (signal?.aborted === true) return go(TE.left([stopped()]))
                }),
            }),
          )
          return run(shown(seed, drawn))
        }),
      ),
    encode: (pictures, { signal } = {}) => call(signal, (own) => pipe(encoded(own, pictures), TE.map(asValue))),
    decode: (latents, { signal } = {}) =>
      call(signal, (own) =>
        pipe(
          latentsIn(latents),
          TE.flatMap((items) => decoded(own, items)),
        ),
      ),
    reconstruct: (pictures, { signal } = {}) =>
      call(signal, (own) =>
        pipe(
          encoded(own, pictures),
          TE.flatMap((items) => decoded(own, items)),
        ),
      ),
    dispose: () => void turn(TE.fromIO(end))(),
  }
}

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
    if (E.isRight(engine)) return loaded(opened, engine.right)
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
