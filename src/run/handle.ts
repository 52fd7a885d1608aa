import { type Effect, effect, failure } from '../error.ts'
import { type Executor, floats, type Value } from '../execute/executor.ts'
import { type KeepingLimits, keeping } from '../execute/keeping.ts'
import { defer, lifetime } from '../execute/lifetime.ts'
import { size } from '../graph/types.ts'
import { type Picture, picturesOf } from '../io/pictures.ts'
import { pipe, TE } from '../prelude.ts'
import { inColour } from '../train/colorize.ts'
import { type Items, joined } from '../train/inference.ts'
import { stoppable, stopped } from '../train/stop.ts'
import type { ToldOf } from './losses.ts'
import type { Description, Opened, Parameter } from './opened.ts'
import { asFields, optionsOf, type SampleRequest, type SampleStep } from './request.ts'

/** What is done with a run that is open. Nothing here reads files: a browser draws by it, too. */

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
  /**
   * What the objective that diffusion was trained by says of pictures, by the names of its losses, `loss` the sum that is minimised: means
   * over the pictures, at noise and timesteps that the seed and a picture's place say, by the weights that draw. Errors: `usage`, what the
   * model is not told, a published model; as of `encode`.
   */
  readonly loss: (request: LossRequest) => Effect<Readonly<Record<string, number>>>
  /** What it draws with: averages where there are some. */
  readonly parameters: readonly Parameter[]
  /** Lets go of all memory and files, behind the call that runs; every later one is a `run` error. */
  readonly dispose: () => void
}

/** What every call of a run may be given. */
export interface CallOptions {
  readonly signal?: AbortSignal
}

/** Pictures, and what is told of them: a prompt or a class for all, or one for each; nothing where left out. */
export interface LossRequest extends ToldOf, CallOptions {
  readonly pictures: readonly Picture[]
}

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

/** A run that is open on an engine; programs are kept within the limits. */
export const loaded = (opened: Opened, engine: Executor, limits: KeepingLimits): LoadedRun => {
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
  const asRead = (pictures: readonly Picture[]): Effect<Items> =>
    effect(async (run) => {
      if (pictures.length === 0) return run(TE.left([failure('usage', 'pictures', 'at least one', 'none')]))
      const read: Items[] = []
      for (const [i, picture] of pictures.entries()) read.push(await run(opened.read(picture, `pictures[${i}]`)))
      const other = read.find(({ shape }) => `${shape}` !== `${read[0]?.shape}`)
      if (other !== undefined)
        return run(TE.left([failure('usage', 'pictures', 'pictures of one size', 'several sizes')]))
      return together(read)
    })
  const encoded = (own: Executor, pictures: readonly Picture[]): Effect<Items> =>
    pipe(
      asRead(pictures),
      TE.flatMap((items) => opened.encode(own, items)),
    )
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
    loss: ({ pictures, signal, ...told }) =>
      call(signal, (own) =>
        pipe(
          asRead(pictures),
          TE.flatMap((items) => opened.losses(own, items, told)),
        ),
      ),
    dispose: () => void turn(TE.fromIO(end))(),
  }
}
