import { type Checked, type Effect, showErrors } from '../../src/error.ts'
import { parameters } from '../../src/graph/graph.ts'
import { elementsOf, type UnreadArray } from '../../src/io/stored.ts'
import { type PipelineDocument, pipelineDocument } from '../../src/pipelines/document.ts'
import { graphsOf } from '../../src/pipelines/networks.ts'
import type { Weights } from '../../src/pipelines/weights.ts'
import type { Written } from '../../src/pipelines/write.ts'
import { E, TE } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'

/** Published models of a few numbers. */

export const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
export const done = async <A>(e: Effect<A>): Promise<A> => right(await e())

/** What an effect is refused with; empty where it is not. */
export const said = async (of: Effect<unknown>): Promise<string> => {
  const result = await of()
  return E.isLeft(result) ? showErrors(result.left) : ''
}

const autoencoder = {
  inChannels: 3,
  outChannels: 3,
  resolution: 16,
  channels: 32,
  resBlocks: 1,
  channelMultipliers: [1, 1],
  latentChannels: 4,
  zChannels: 4,
}
const unet = {
  inChannels: 4,
  outChannels: 4,
  modelChannels: 32,
  resBlocks: 1,
  attentionFactors: [2],
  channelMultipliers: [1, 1],
}
const transformer = (contextDim: number) => ({ kind: 'transformer', contextDim, widenHeads: false })
const clip = (activation: string, more = {}) => ({
  encoder: {
    kind: 'clip',
    config: { vocabulary: 64, width: 64, layers: 2, heads: 1, mlpWidth: 128, activation, ...more },
  },
  tokenizer: { from: 'clip' },
})
const compvis = { by: 'compvis', schedule: { kind: 'scaled-linear', betaStart: 0.00085, betaEnd: 0.012 } }
const euler = {
  by: 'diffusers',
  scheduler: 'EulerDiscreteScheduler',
  config: { beta_schedule: 'scaled_linear', beta_start: 0.00085, beta_end: 0.012, timestep_spacing: 'leading' },
}
export const documents = {
  'Stable Diffusion 1': {
    firstStage: { kind: 'kl', network: autoencoder, scale: 0.18215 },
    unet: { ...unet, heads: { by: 'count', count: 8 }, attention: transformer(64) },
    conditioning: { text: [clip('quick_gelu')] },
    sampling: compvis,
  },
  'Stable Diffusion 2': {
    firstStage: { kind: 'kl', network: autoencoder, scale: 0.18215 },
    unet: {
      ...unet,
      inChannels: 9,
      heads: { by: 'channels', channels: 16 },
      attention: { ...transformer(64), projection: 'linear' },
    },
    predicts: 'v',
    conditioning: { text: [clip('gelu')], beside: { kind: 'mask-and-latents' } },
    sampling: { ...compvis, sampler: 'ddim' },
  },
  'Stable Diffusion XL': {
    firstStage: { kind: 'kl', network: autoencoder, scale: 0.13025 },
    unet: {
      ...unet,
      heads: { by: 'channels', channels: 16 },
      attention: { ...transformer(128), projection: 'linear', depth: [1, 2] },
      vector: 112,
    },
    conditioning: {
      text: [
        { ...clip('quick_gelu'), skip: 1, normalized: false },
        { ...clip('gelu', { projection: 64 }), skip: 1, normalized: false, pooled: true },
      ],
      sizes: { dim: 8 },
      zerosForNothing: true,
    },
    sampling: euler,
  },
  'Stable Diffusion XL refiner': {
    firstStage: { kind: 'kl', network: autoencoder, scale: 0.13025 },
    unet: {
      ...unet,
      heads: { by: 'channels', channels: 16 },
      attention: { ...transformer(64), projection: 'linear', depth: 2 },
      vector: 72,
    },
    conditioning: {
      text: [{ ...clip('gelu', { projection: 32 }), skip: 1, normalized: false, pooled: true }],
      sizes: { dim: 8, aesthetic: true },
    },
    sampling: euler,
  },
  'classes, quantised': {
    firstStage: { kind: 'vq', network: { ...autoencoder, doubleZ: false }, entries: 16 },
    unet: { ...unet, heads: { by: 'count', count: 1 }, attention: { kind: 'transformer', contextDim: 16 } },
    conditioning: { classes: { entries: 5, dim: 16 } },
    sampling: compvis,
  },
  unconditional: {
    firstStage: { kind: 'vq', network: { ...autoencoder, doubleZ: false }, entries: 16 },
    unet: { ...unet, heads: { by: 'channels', channels: 16 } },
    conditioning: {},
    sampling: { ...compvis, sampler: 'ddim' },
  },
  pixels: {
    firstStage: { kind: 'pixels', channels: 3 },
    unet: {
      ...unet,
      ...{ inChannels: 3, outChannels: 3, heads: { by: 'count', count: 1 }, attention: { kind: 'self', order: 'new' } },
      ...{ timesteps: 'sines-first', downPadding: 'behind', norm: { groups: 32, eps: 1e-6 } },
    },
    conditioning: {},
    sampling: { by: 'diffusers', scheduler: 'DDPMScheduler', config: {} },
  },
  'label maps': {
    firstStage: { kind: 'vq', network: { ...autoencoder, doubleZ: false }, entries: 16 },
    unet: { ...unet, inChannels: 7, heads: { by: 'count', count: 1 } },
    conditioning: { beside: { kind: 'label-map', labels: 5, rescaler: { stages: 1, outChannels: 3 } } },
    sampling: { ...compvis, sampler: 'ddim' },
  },
  boxes: {
    firstStage: { kind: 'kl', network: autoencoder },
    unet: { ...unet, heads: { by: 'count', count: 1 }, attention: { kind: 'transformer', contextDim: 16 } },
    conditioning: { boxes: { encoder: { width: 16, layers: 1, vocabulary: 30, positions: 8 } } },
    sampling: { ...compvis, sampler: 'ddim' },
  },
} as const
const documentOf = (name: keyof typeof documents): PipelineDocument =>
  right(decode(pipelineDocument)({ model: name, side: 8, predicts: 'eps', ...documents[name] }))

/** Between -1 and 1, and hardly one twice. */
const numberAt = (k: number, i: number, at: number): number => {
  const x = Math.sin(1 + 12.9898 * at + 78.233 * i + 37.719 * k) * 43758.5453
  return 2 * (x - Math.floor(x)) - 1
}

/** Norms near 1, all else so large that what goes in keeps its size. */
const arrayOf = (shape: readonly number[], k: number, i: number): UnreadArray => {
  const each = elementsOf(shape.slice(1))
  const [middle, range] = shape.length > 1 ? [0, Math.sqrt(3 / each)] : [0.5, 0.5]
  return {
    dtype: 'F32',
    shape,
    bytes: 4 * elementsOf(shape),
    read: TE.right({
      dtype: 'float32',
      shape,
      data: Float32Array.from({ length: elementsOf(shape) }, (_, at) => middle + range * numberAt(k, i, at)),
    }),
  }
}
export const weightsOf = (document: PipelineDocument): Weights =>
  Object.fromEntries(
    Object.entries(right(graphsOf(document))).map(([component, graph], k) => [
      component,
      Object.fromEntries(parameters(graph).map(({ name, shape }, i) => [name, arrayOf(shape, k, i)])),
    ]),
  )
export const modelOf = (name: keyof typeof documents): Written => {
  const document = documentOf(name)
  return { document, weights: weightsOf(document), tokenizerFiles: {} }
}
