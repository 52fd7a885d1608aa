import { at } from '../declare/index.ts'
import { fillNormal, fold, key } from '../distributions/random.ts'
import { type Checked, type Effect, effect, failure } from '../error.ts'
import { type CompileOptions, type Executable, type Executor, floats, type Values } from '../execute/executor.ts'
import type { Diffusion, FirstStage } from '../experiment/document.ts'
import {
  decoderGraph,
  encoderGraph,
  firstStageLeaves,
  firstStageScope,
  priorGraph,
  reconstructionGraph,
} from '../experiment/first-stage.ts'
import type { Diffused } from '../experiment/space.ts'
import { feedTypes, type Graph, parameters } from '../graph/graph.ts'
import { type Shape, size } from '../graph/types.ts'
import { pipe, TE } from '../prelude.ts'
import { groupOf, noiseFeeds } from './state.ts'

/** What trained networks are asked: encode, decode, reconstruct. Arrays of any number of items, batch by batch. */

/** Items in a row, each of a shape. */
export interface Items {
  readonly n: number
  readonly shape: Shape
  readonly data: Float32Array
}

/** Items that are read when they are needed, each of a shape. */
export interface Rows {
  readonly n: number
  readonly shape: Shape
  /** The items at `indices`, in their order. */
  readonly read: (indices: ArrayLike<number>) => Effect<Float32Array>
}

export const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: to - from }, (_, i) => from + i)

export const rowsOf = ({ n, shape, data }: Items): Rows => ({
  n,
  shape,
  read: (indices) =>
    TE.fromIO(() => joined(Array.from(indices, (i) => data.subarray(i * size(shape), (i + 1) * size(shape))))),
})

/** The first items, in memory. */
export const firstItems = ({ n, shape, read }: Rows, most: number): Effect<Items> => {
  const count = Math.min(n, most)
  return pipe(
    read(range(0, count)),
    TE.map((data) => ({ n: count, shape, data })),
  )
}

/** The weights that a graph asks for, out of a training state; the moving average where there is one. */
export const weightsFor = (g: Graph, state: Values): Values =>
  Object.fromEntries(
    parameters(g).flatMap(({ name, shape }) => {
      const found = state[`ema.shadow.${name}`] ?? state[name]
      return found === undefined ? [] : [[name, { ...found, shape }] as const]
    }),
  )

/** A first stage's weights as those of a part of a diffusion model. */
export const asPart = (firstStage: Values): Values =>
  Object.fromEntries(
    Object.entries(firstStage).flatMap(([name, value]) =>
      groupOf(name)[0] === 'parameters'
        ? [[at(firstStageScope, name), firstStage[`ema.shadow.${name}`] ?? value] as const]
        : [],
    ),
  )

/** What a graph is compiled around. */
export type Baked = Pick<CompileOptions, 'constants' | 'files'>

/** Compiles a graph around its weights, uses it, and lets it go. */
export const usingBaked = <A>(
  executor: Executor,
  graph: Graph,
  baked: Baked,
  body: (x: Executable) => Effect<A>,
): Effect<A> =>
  effect(async (run) => {
    const executable = await run(executor.compile(graph, { mode: 'sampling', ...baked }))
    try {
      return await run(body(executable))
    } finally {
      executable.dispose()
    }
  })
export const using = <A>(
  executor: Executor,
  graph: Graph,
  constants: Values,
  body: (x: Executable) => Effect<A>,
): Effect<A> => usingBaked(executor, graph, { constants }, body)

export const batchSize = 32
/** Pictures that go through a first stage at a time: 32 of up to 128x128, of larger ones as many as have so many pixels. */
export const batchFor = ({ network }: FirstStage): number =>
  Math.max(1, Math.min(batchSize, Math.floor(batchSize * (128 / network.resolution) ** 2)))

/** What is shown, measured or trained on is numbers. Errors (`run`). */
export const finite = (what: string, items: Items): Effect<Items> => {
  const at = items.data.findIndex((x) => !Number.isFinite(x))
  return at < 0
    ? TE.right(items)
    : TE.left([
        failure(
          'run',
          what,
          'finite numbers',
          `${items.data[at]}, first in picture ${1 + Math.floor(at / size(items.shape))} of ${items.n}`,
          'the weights, or the steps of the sampler, leave what single precision holds: train with a lower learning rate; npx latentgraph check names schedules that cannot be computed',
        ),
      ])
}

export interface Mapping {
  readonly leaf: string
  readonly output: string
  readonly rows: Rows
}

/** Runs a graph with one input and one output over all items, a batch at a time; the last is filled up with zeros. */
export const eachBatch = (
  executor: Executor,
  built: Checked<Graph>,
  state: Values,
  { leaf, output, rows }: Mapping,
  take: (made: Items, from: Items) => Effect<void>,
): Effect<void> =>
  effect(async (run) => {
    const graph = await run(TE.fromEither(built))
    const count = feedTypes(graph)[leaf]?.shape[0] ?? batchSize
    return run(
      using(executor, graph, weightsFor(graph, state), (executable) =>
        effect(async (go) => {
          for (let from = 0; from < rows.n; from += count) {
            const n = Math.min(count, rows.n - from)
            const data = await go(rows.read(range(from, from + n)))
            const batch = n === count ? data : new Float32Array(count * size(rows.shape))
            if (batch !== data) batch.set(data)
            const out = (await go(executable.run({ [leaf]: floats([count, ...rows.shape], batch) })))[output]
            if (out === undefined) return go(TE.left([failure('run', output, 'an output of this name', 'none')]))
            const shape = out.shape.slice(1)
            const all = out.data instanceof Float32Array ? out.data : Float32Array.from(out.data)
            const made = await go(finite(output, { n, shape, data: all.subarray(0, n * size(shape)) }))
            await go(take(made, { n, shape: rows.shape, data }))
          }
        }),
      ),
    )
  })

export const mapItems = (executor: Executor, built: Checked<Graph>, state: Values, mapping: Mapping): Effect<Items> =>
  effect(async (run) => {
    const parts: Items[] = []
    const take = (made: Items): Effect<void> => TE.fromIO(() => void parts.push(made))
    await run(eachBatch(executor, built, state, mapping, take))
    return { n: mapping.rows.n, shape: parts[0]?.shape ?? [], data: joined(parts.map(({ data }) => data)) }
  })
export const joined = (parts: readonly Float32Array[]): Float32Array => {
  const whole = new Float32Array(parts.reduce((n, p) => n + p.length, 0))
  parts.reduce((at, p) => {
    whole.set(p, at)
    return at + p.length
  }, 0)
  return whole
}

/**
 * Pictures to their posteriors' moments [2C, h, w]; by VQ to latents [C, h, w], not quantised yet or quantised. `take` has them
 * a batch at a time, in order.
 */
export const encodePictures = (
  executor: Executor,
  { stage, latents }: { readonly stage: FirstStage; readonly latents: Diffusion['latents'] },
  state: Values,
  pictures: Rows,
  take: (moments: Items) => Effect<void>,
): Effect<void> =>
  eachBatch(
    executor,
    encoderGraph(stage, latents, batchFor(stage)),
    state,
    { leaf: firstStageLeaves.pixels, output: 'moments', rows: pictures },
    take,
  )

/** Raw latents to pictures. */
export const decodeLatents = (executor: Executor, stage: FirstStage, state: Values, latents: Items): Effect<Items> =>
  mapItems(executor, decoderGraph(stage, Math.min(batchFor(stage), latents.n)), state, {
    leaf: firstStageLeaves.latents,
    output: 'pixels',
    rows: rowsOf(latents),
  })

const reconstructions = (pictures: Rows): Mapping => ({
  leaf: firstStageLeaves.pixels,
  output: 'pixels',
  rows: pictures,
})

/** Pictures to what the first stage makes of them. */
export const reconstruct = (executor: Executor, stage: FirstStage, state: Values, pictures: Items): Effect<Items> =>
  mapItems(executor, reconstructionGraph(stage, batchFor(stage)), state, reconstructions(rowsOf(pictures)))

/** Mean PSNR of what the first stage makes of pictures, in dB; they are never in memory all at once. */
export const reconstructionPsnr = (
  executor: Executor,
  stage: FirstStage,
  state: Values,
  pictures: Rows,
): Effect<number> =>
  effect(async (run) => {
    let sum = 0
    const take = (made: Items, inputs: Items): Effect<void> =>
      TE.fromIO(() => {
        for (const each of psnrs(inputs, made)) sum += each
      })
    await run(eachBatch(executor, reconstructionGraph(stage, batchFor(stage)), state, reconstructions(pictures), take))
    return sum / pictures.n
  })

/** `n` samples from the first stage's prior, the same for a seed whatever the weights. */
export const drawPrior = (
  executor: Executor,
  stage: FirstStage,
  state: Values,
  { n, seed }: { readonly n: number; readonly seed: number },
): Effect<Items> =>
  effect(async (run) => {
    const drawn = noiseFeeds(await run(TE.fromEither(priorGraph(stage, n))), seed, 0)
    const [noise] = Object.entries(drawn)
    if (noise === undefined) return run(TE.left([failure('run', 'prior', 'noise to draw from', 'none')]))
    const [leaf, { shape, data }] = noise
    const rows = rowsOf({ n, shape: shape.slice(1), data: Float32Array.from(data) })
    const graph = priorGraph(stage, Math.min(n, batchFor(stage)))
    return run(mapItems(executor, graph, state, { leaf, output: 'pixels', rows }))
  })

/** Peak signal-to-noise ratios in dB of pictures in [-1, 1], each clamped to the range. */
export const psnrs = (originals: Items, others: Items): readonly number[] => {
  const each = size(originals.shape)
  const one = (i: number): number => {
    let error = 0
    for (let j = i * each; j < (i + 1) * each; j++) {
      const b = Math.min(1, Math.max(-1, others.data[j] ?? 0))
      error += ((originals.data[j] ?? 0) - b) ** 2
    }
    return 10 * Math.log10(4 / Math.max(error / each, 1e-12))
  }
  return Array.from({ length: originals.n }, (_, i) => one(i))
}

/** Latents drawn once from posteriors, of which the first is the `from`th. */
const drawnOnce = (moments: Items, seed: number, from: number): Float64Array => {
  const half = size(moments.shape) / 2
  const eps = new Float32Array(moments.n * half)
  fillNormal(fold(key(seed), 'latent-scale'), eps, from * half)
  return Float64Array.from(eps, (e, i) => {
    const at = Math.floor(i / half) * 2 * half + (i % half)
    const logvar = Math.min(20, Math.max(-30, moments.data[at + half] ?? 0))
    return (moments.data[at] ?? 0) + Math.exp(0.5 * logvar) * e
  })
}

/** 1 / the standard deviation of what a first stage encodes to (Rombach et al. 2022, section D.1), told a part after the other. */
export const scaleMeter = (kind: Diffused['kind'], seed: number) => {
  let [count, items, sum, squares] = [0, 0, 0, 0]
  return {
    add: (encoded: Items): void => {
      const latents = kind === 'kl' ? drawnOnce(encoded, seed, items) : encoded.data
      for (const z of latents) {
        sum += z
        squares += z * z
      }
      count += latents.length
      items += encoded.n
    },
    scale: (): number => {
      const mean = sum / count
      return 1 / Math.sqrt(squares / count - mean * mean)
    },
  }
}
