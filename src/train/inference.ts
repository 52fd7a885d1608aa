import { fillNormal, fold, key } from '../distributions/random.ts'
import { type Checked, type Effect, effect, failure } from '../error.ts'
import { type Executable, type Executor, floats, type Values } from '../execute/executor.ts'
import type { Asked } from '../experiment/conditioning.ts'
import { diffusionLeaves, type LatentDiffusion, samplingProgram } from '../experiment/diffusion-stage.ts'
import type { Diffusion, Experiment, FirstStage } from '../experiment/document.ts'
import {
  decoderGraph,
  encoderGraph,
  firstStageLeaves,
  priorGraph,
  reconstructionGraph,
} from '../experiment/first-stage.ts'
import type { Sampling } from '../experiment/sampling.ts'
import type { Diffused } from '../experiment/space.ts'
import { feedTypes, type Graph, parameters } from '../graph/graph.ts'
import { type Shape, size } from '../graph/types.ts'
import { pipe, TE } from '../prelude.ts'
import { initialNoise, keyedNoise, sample } from '../samplers/index.ts'
import { noiseFeeds } from './state.ts'

/** What trained networks are asked: encode, decode, reconstruct, sample. Arrays of any number of items, batch by batch. */

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

/** Compiles a graph around its weights, uses it, and lets it go. */
const using = <A>(executor: Executor, graph: Graph, constants: Values, body: (x: Executable) => Effect<A>): Effect<A> =>
  effect(async (run) => {
    const executable = await run(executor.compile(graph, { mode: 'sampling', constants }))
    try {
      return await run(body(executable))
    } finally {
      executable.dispose()
    }
  })

const batchSize = 32
/** Pictures that go through a first stage at a time: 32 of up to 128x128, of larger ones as many as have so many pixels. */
export const batchFor = ({ network }: FirstStage): number =>
  Math.max(1, Math.min(batchSize, Math.floor(batchSize * (128 / network.resolution) ** 2)))

/** What is shown, measured or trained on is numbers. Errors (`run`). */
const finite = (what: string, items: Items): Effect<Items> => {
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
const joined = (parts: readonly Float32Array[]): Float32Array => {
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
  mapItems(executor, decoderGraph(stage, batchFor(stage)), state, {
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

/** Which pictures to draw; what of it the model is not told is ignored. */
export interface Wanted extends Asked {
  readonly seed: number
  readonly sampling: Sampling
  /** The number that latents were multiplied by. */
  readonly scale: number
  readonly onStep?: (done: number, of: number) => void
}

/** How many latents are drawn at a time: 32 of up to 64x64, of larger ones as many as have so many numbers. */
export const drawnAtATime = ([, height = 1, width = 1]: Shape): number =>
  Math.max(1, Math.min(batchSize, Math.floor((batchSize * 64 * 64) / (height * width))))

/** What is asked for pictures of these numbers; 0 beyond the last. */
const askedFor = ({ labels, pictures }: Asked, numbers: readonly number[]): Asked => {
  const each = pictures === undefined ? 0 : pictures.length / labels.length
  return {
    labels: numbers.map((i) => labels[i] ?? 0),
    ...(pictures === undefined
      ? {}
      : {
          pictures: Float32Array.from(
            { length: numbers.length * each },
            (_, i) => pictures[(numbers[Math.floor(i / each)] ?? 0) * each + (i % each)] ?? 0,
          ),
        }),
  }
}

/** Draws raw latents: picture i depends on the seed and i alone, however they are batched. */
export const drawLatents = (executor: Executor, m: LatentDiffusion, state: Values, wanted: Wanted): Effect<Items> =>
  effect(async (run) => {
    const { labels, seed, sampling, scale } = wanted
    const batch = Math.min(drawnAtATime(m.latent), labels.length)
    const { graph, plan } = await run(TE.fromEither(samplingProgram(m, sampling, batch)))
    const types = feedTypes(graph)
    const batches = Math.ceil(labels.length / batch)
    const latents = await run(
      using(executor, graph, weightsFor(graph, state), (executable) =>
        effect(async (go) => {
          const parts: Float32Array[] = []
          for (let b = 0; b < batches; b++) {
            const numbers = Array.from({ length: batch }, (_, i) => b * batch + i)
            const feeds: Values = {
              ...m.conditioner.feeds(askedFor(wanted, numbers)),
              [diffusionLeaves.guidance]: floats([], Float32Array.of(sampling.guidance)),
              [diffusionLeaves.scale]: floats([], Float32Array.of(scale)),
            }
            const z = await go(
              sample({
                graph,
                executable,
                plan,
                from: initialNoise(seed, numbers, m.latent),
                noiseOf: keyedNoise(seed, numbers),
                feeds: Object.fromEntries(Object.entries(feeds).filter(([name]) => name in types)),
                onStep: ({ done, of }) => {
                  wanted.onStep?.(b * of + done, batches * of)
                  return TE.right(undefined)
                },
              }),
            )
            parts.push(Float32Array.from(z.x.data, (x) => x / scale))
          }
          return joined(parts)
        }),
      ),
    )
    const drawn = { n: labels.length, shape: m.latent, data: latents.subarray(0, labels.length * size(m.latent)) }
    return run(finite('sampled latents', drawn))
  })

/** Draws pictures: latents, decoded by the first stage where there is one. */
export const drawPictures = (
  executor: Executor,
  { model, stage }: { readonly model: LatentDiffusion; readonly stage: Experiment['firstStage'] },
  { firstStage, diffusion }: { readonly firstStage: Values; readonly diffusion: Values },
  wanted: Wanted,
): Effect<Items> =>
  effect(async (run) => {
    const latents = await run(drawLatents(executor, model, diffusion, wanted))
    return stage.kind === 'identity' ? latents : run(decodeLatents(executor, stage, firstStage, latents))
  })
