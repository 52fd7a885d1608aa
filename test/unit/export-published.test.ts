import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type Checked, type Effect, effect, showErrors } from '../../src/error.ts'
import { parameters } from '../../src/graph/graph.ts'
import { sha256 } from '../../src/io/bytes.ts'
import { elementsOf, type UnreadArray } from '../../src/io/stored.ts'
import { type PipelineDocument, pipelineDocument } from '../../src/pipelines/document.ts'
import { graphsOf } from '../../src/pipelines/networks.ts'
import { type Where, withPublished } from '../../src/pipelines/read.ts'
import type { ReadModel } from '../../src/pipelines/read-model.ts'
import type { Weights } from '../../src/pipelines/weights.ts'
import { type Written, writeCompVis, writeDiffusers } from '../../src/pipelines/write.ts'
import { E, TE } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'

/** What is exported is what was there. */

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const done = async <A>(e: Effect<A>): Promise<A> => right(await e())

const dir = mkdtempSync(join(tmpdir(), 'export-'))
afterAll(() => rmSync(dir, { recursive: true }))

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
const documents = {
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
  'classes, quantised': {
    firstStage: { kind: 'vq', network: { ...autoencoder, doubleZ: false }, entries: 16 },
    unet: { ...unet, heads: { by: 'count', count: 1 }, attention: { kind: 'transformer', contextDim: 16 } },
    conditioning: { classes: { entries: 5, dim: 16 } },
    sampling: compvis,
  },
} as const
const documentOf = (name: keyof typeof documents): PipelineDocument =>
  right(decode(pipelineDocument)({ model: name, side: 8, predicts: 'eps', ...documents[name] }))

const arrayOf = (shape: readonly number[], at: number): UnreadArray => ({
  dtype: 'F32',
  shape,
  bytes: 4 * elementsOf(shape),
  read: TE.right({ dtype: 'float32', shape, data: Float32Array.from({ length: elementsOf(shape) }, (_, i) => at + i) }),
})
const weightsOf = (document: PipelineDocument): Weights =>
  Object.fromEntries(
    Object.entries(right(graphsOf(document))).map(([component, graph], k) => [
      component,
      Object.fromEntries(parameters(graph).map(({ name, shape }, i) => [name, arrayOf(shape, 1000 * k + i)])),
    ]),
  )
const modelOf = (name: keyof typeof documents): Written => {
  const document = documentOf(name)
  return { document, weights: weightsOf(document), folders: {} }
}

const numbersOf = (weights: Weights) =>
  effect(async (run) => {
    const found: Record<string, unknown> = {}
    for (const [component, arrays] of Object.entries(weights))
      for (const [name, array] of Object.entries(arrays)) {
        const { data, shape } = await run(array.read)
        const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
        found[`${component}/${name}`] = [shape, sha256(bytes)]
      }
    return found
  })
const readBack = (where: Where, of: Written) =>
  done(
    withPublished(where, (read: ReadModel) =>
      effect(async (run) => {
        expect(await run(numbersOf(read.weights))).toEqual(await run(numbersOf(of.weights)))
        expect(read.leftOver).toEqual([])
        return read.document
      }),
    ),
  )

describe('a published model that is exported', () => {
  it.each(['Stable Diffusion 2', 'classes, quantised'] as const)(
    'for the original code, and imported, is what it was: %s',
    async (name) => {
      const model = modelOf(name)
      const path = join(dir, `${name}.safetensors`)
      const said = await done(writeCompVis(path, model, false))
      expect(said.some((text) => text.includes('zeros'))).toBe(name === 'Stable Diffusion 2')
      expect(await readBack({ path, yaml: path.replace('.safetensors', '.yaml') }, model)).toMatchObject(
        documents[name],
      )
    },
  )
  it.each(['Stable Diffusion 1', 'Stable Diffusion XL'] as const)(
    'as a folder of diffusers, and imported, is what it was: %s',
    async (name) => {
      const model = modelOf(name)
      const path = join(dir, name)
      await done(writeDiffusers(path, model, false))
      const read = await readBack({ path }, model)
      const tokenizers = model.document.conditioning.text.map((text, k) => ({
        ...text,
        tokenizer: { from: 'folder', name: k === 0 ? 'tokenizer' : 'tokenizer_2' },
      }))
      expect(read.conditioning).toEqual({ ...model.document.conditioning, text: tokenizers })
      expect(read).toMatchObject({ firstStage: documents[name].firstStage, side: 8, predicts: model.document.predicts })
      if (model.document.sampling.by === 'diffusers') expect(read.sampling).toEqual(model.document.sampling)
      expect(E.isLeft(await writeDiffusers(path, model, false)())).toBe(true)
    },
  )
  it('is refused by name where a format has no place for it', async () => {
    const places = async (e: Effect<unknown>) => {
      const found = await e()
      return E.isLeft(found) ? found.left.map(({ at }) => at) : []
    }
    expect(await places(writeDiffusers(join(dir, 'no'), modelOf('classes, quantised'), false))).toEqual([
      '/conditioning',
    ])
    const xl = modelOf('Stable Diffusion XL')
    const shifted = { ...xl.document.firstStage, shift: 0.1 }
    const flow = { ...xl.document, firstStage: shifted }
    expect(await places(writeCompVis(join(dir, 'no.safetensors'), { ...xl, document: flow }, false))).toEqual([
      '/firstStage/shift',
    ])
    expect(await places(writeCompVis(join(dir, 'no.ckpt'), xl, false))).toEqual(['--safetensors'])
  })
})
