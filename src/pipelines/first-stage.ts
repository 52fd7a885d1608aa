import { add, div, freeze, input, type Tensor } from '../declare/index.ts'
import { type Checked, type Effect, effect, failure } from '../error.ts'
import { type Executable, type Executor, floats, type Value } from '../execute/executor.ts'
import type { Graph } from '../graph/graph.ts'
import { float, type Shape } from '../graph/types.ts'
import { decode, encode } from '../nn/autoencoder/autoencoder.ts'
import { tinyDecode, tinyEncode } from '../nn/autoencoder/tiny.ts'
import type { Layer } from '../nn/layers.ts'
import { vectorQuantizer } from '../nn/quantize.ts'
import { E, pipe, TE } from '../prelude.ts'
import { usingBaked } from '../train/inference.ts'
import { optimise } from '../transform/index.ts'
import type { FirstStage, Networked } from './document.ts'
import { batchOf, mapValue, stacked, upTo } from './request.ts'
import { bakedOf, type Weights } from './weights.ts'

/** Between pictures and latents. */

/** How many pixels a side one latent stands for. */
export const factorOf = (stage: FirstStage): number =>
  stage.kind === 'pixels'
    ? 1
    : 2 ** ((stage.kind === 'tiny' ? stage.network.encoderBlocks : stage.network.channelMultipliers).length - 1)

/** Channels of what diffusion sees. */
export const latentChannels = (stage: FirstStage): number =>
  stage.kind === 'pixels' ? stage.channels : stage.network.latentChannels

/** Pictures to what the stage makes of them, before a posterior is sampled or a code is chosen. */
export const encoder = (stage: Networked): Layer =>
  stage.kind === 'tiny' ? tinyEncode('', stage.network) : encode('', stage.network)
export const decoder = (stage: Networked): Layer =>
  stage.kind === 'tiny' ? tinyDecode('', stage.network) : decode('', stage.network)

/** Pictures [N, 3, H, W] to moments (KL) or unquantised latents (VQ). */
export const encoderGraph = (stage: Networked, shape: Shape): Checked<Graph> =>
  pipe(freeze({ encoded: pipe(input('pixels', float(...shape)), encoder(stage)) }), E.map(optimise))

const quantised = (stage: Networked, z: Tensor): Tensor =>
  stage.kind === 'vq'
    ? vectorQuantizer('quantize', {
        entries: stage.entries,
        dim: stage.network.latentChannels,
        beta: 0.25,
        weighs: 'legacyBeta',
      })(z).y
    : z

/** Scaled latents [N, C, h, w] to pictures. */
export const decoderGraph = (stage: Networked, shape: Shape): Checked<Graph> => {
  const scaled = input('latents', float(...shape))
  const raw = stage.scale === 1 ? scaled : pipe(scaled, div(stage.scale))
  const z = stage.shift === 0 ? raw : pipe(raw, add(stage.shift))
  return pipe(freeze({ decoded: pipe(quantised(stage, z), decoder(stage)) }), E.map(optimise))
}

const eachOf = (executable: Executable, leaf: string, output: string, parts: readonly Value[]): Effect<Value> =>
  effect(async (run) => {
    const all: Value[] = []
    for (const part of parts) {
      const found = (await run(executable.run({ [leaf]: part })))[output]
      if (found === undefined) return run(TE.left([failure('run', output, 'an output of this name', 'none')]))
      all.push(found)
    }
    return stacked(all)
  })

const mapped = (
  executor: Executor,
  built: Checked<Graph>,
  weights: Weights,
  leaf: string,
  output: string,
  parts: readonly Value[],
): Effect<Value> =>
  effect(async (run) => {
    const graph = await run(TE.fromEither(built))
    const baked = await run(bakedOf(graph, 'firstStage', weights))
    return run(usingBaked(executor, graph, baked, (executable) => eachOf(executable, leaf, output, parts)))
  })

/** An array on axis 0 in parts of so many, the last filled up. */
const inParts = (of: Value, atATime: number): readonly Value[] => {
  const [n = 1] = of.shape
  const batch = Math.min(n, atATime)
  return Array.from({ length: Math.ceil(n / batch) }, (_, b) =>
    batchOf(
      of,
      1,
      upTo(batch).map((i) => b * batch + i),
    ),
  )
}

export const encodePixels = (executor: Executor, stage: FirstStage, weights: Weights, pixels: Value): Effect<Value> => {
  if (stage.kind === 'pixels') return TE.right(pixels)
  const parts = inParts(pixels, 1)
  return mapped(executor, encoderGraph(stage, parts[0]?.shape ?? []), weights, 'pixels', 'encoded', parts)
}
/** Scaled latents to pictures, so many at a time. */
export const decodeLatents = (
  executor: Executor,
  stage: FirstStage,
  weights: Weights,
  latents: Value,
  atATime: number,
): Effect<Value> => {
  if (stage.kind === 'pixels') return TE.right(latents)
  const parts = inParts(latents, atATime)
  return pipe(
    mapped(executor, decoderGraph(stage, parts[0]?.shape ?? []), weights, 'latents', 'decoded', parts),
    TE.map((all) => batchOf(all, 1, upTo(latents.shape[0] ?? 1))),
  )
}

const most = 20
const least = -30
/** A sample of the posterior of moments [N, 2C, h, w]; its mode without noise. What is no distribution stays as it is. */
export const latentsOf = ({ kind }: FirstStage, moments: Value, noise: Value | undefined): Value => {
  if (kind !== 'kl') return moments
  const [n = 0, doubled = 0, ...positions] = moments.shape
  const each = (doubled / 2) * positions.reduce((a, b) => a * b, 1)
  const data = new Float32Array(n * each)
  for (let i = 0; i < data.length; i++) {
    const at = Math.floor(i / each) * 2 * each + (i % each)
    const mean = moments.data[at] ?? 0
    const std = Math.exp(0.5 * Math.min(Math.max(moments.data[at + each] ?? 0, least), most))
    data[i] = noise === undefined ? mean : mean + std * (noise.data[i] ?? 0)
  }
  return floats([n, doubled / 2, ...positions], data)
}

/** As diffusion sees them. */
export const scaledLatents = (stage: FirstStage, latents: Value): Value =>
  stage.kind === 'pixels' ? latents : mapValue(latents, (x) => (x - stage.shift) * stage.scale)
