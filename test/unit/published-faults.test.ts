import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { input } from '../../src/declare/index.ts'
import { type Effect, effect, failure, showErrors } from '../../src/error.ts'
import { floats } from '../../src/execute/executor.ts'
import { float } from '../../src/graph/types.ts'
import { withCheckpointFile } from '../../src/io/checkpoint-file.ts'
import { writeSafetensors } from '../../src/io/safetensors-writer.ts'
import type { UnreadArray } from '../../src/io/stored.ts'
import { drawsByItself, noFolder } from '../../src/pipelines/alone.ts'
import { residualsOf } from '../../src/pipelines/control.ts'
import { pipelineDocument } from '../../src/pipelines/document.ts'
import { tokenizersOf } from '../../src/pipelines/read-diffusers.ts'
import { writePublishedRun } from '../../src/pipelines/run-files.ts'
import { walkOf } from '../../src/pipelines/walk.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import { diffusersControlNet } from '../../src/published/diffusers/index.ts'
import { decode } from '../../src/schema.ts'
import { right } from './diffusion-fixtures.ts'

const place = { dir: '' }
beforeAll(async () => {
  place.dir = await mkdtemp(join(tmpdir(), 'latentgraph-faults-'))
})
afterAll(() => rm(place.dir, { recursive: true }))

const said = async (of: Effect<unknown>): Promise<string> => {
  const result = await of()
  return E.isLeft(result) ? showErrors(result.left) : ''
}

const network = { inChannels: 3, outChannels: 3, resolution: 16, channels: 32, resBlocks: 1, latentChannels: 4 }
const hinted = {
  ...{ in_channels: 4, conditioning_channels: 3, block_out_channels: [32, 32], layers_per_block: 1 },
  ...{ down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'], attention_head_dim: 8, cross_attention_dim: 32 },
  ...{ conditioning_embedding_out_channels: [16, 32] },
}
const readingTexts = (vocabulary: number, tokenizer: unknown) =>
  right(
    decode(pipelineDocument)({
      model: 'Stable Diffusion',
      firstStage: { kind: 'kl', network: { ...network, channelMultipliers: [1, 1], zChannels: 4 } },
      unet: {
        ...{ inChannels: 4, outChannels: 4, modelChannels: 32, resBlocks: 1, attentionFactors: [2] },
        ...{ channelMultipliers: [1, 1], heads: { by: 'count', count: 8 } },
      },
      side: 8,
      predicts: 'eps',
      conditioning: {
        text: [{ encoder: { kind: 'clip', config: { vocabulary, width: 8, layers: 1, heads: 1 } }, tokenizer }],
      },
      sampling: { by: 'diffusers', scheduler: 'DDIMScheduler', config: {} },
    }),
  )

test('a model whose texts would be told of tokens that its encoder lacks is no run', async () => {
  const written = (vocabulary: number, tokenizer: unknown, folders = {}) =>
    effect(async (run) => {
      const document = readingTexts(vocabulary, tokenizer)
      const tokenizers = await run(tokenizersOf(document, folders))
      await run(writePublishedRun(place.dir, { document, tokenizers, folders, weights: {}, leftOver: [], remarks: [] }))
    })
  expect(await said(written(887, { from: 'clip' }))).toMatch(
    /^--tokenizer\n {2}expected .* 887 tokens.*\n {2}got .*49408\n {2}hint/,
  )
  const folders = { tokenizer: 'test/golden/text/mini-clip' }
  const own = { from: 'folder', name: 'tokenizer' }
  expect(await said(written(885, own, folders))).toMatch(
    /^test\/golden\/text\/mini-clip\n.* 885 tokens.*\n {2}got {6}886/,
  )
  expect(await readdir(place.dir)).toEqual([])
  expect(await said(written(886, own, folders))).toBe('')
})

test('weights of which one is no number leave nothing behind', async () => {
  const array = (value: number): UnreadArray => ({
    dtype: 'F32',
    bytes: 4,
    shape: [1],
    read: TE.right({ dtype: 'float32', shape: [1], data: Float32Array.of(value) }),
  })
  const model = {
    document: readingTexts(886, { from: 'folder', name: 'tokenizer' }),
    ...{ tokenizers: [], folders: {}, leftOver: [], remarks: [] },
    weights: { unet: { 'out.0.bias': array(1) }, firstStage: { 'decoder.bias': array(Number.NaN) } },
  }
  const dir = join(place.dir, 'broken')
  await mkdir(dir)
  expect(await said(writePublishedRun(dir, model))).toMatch(/^firstStage: decoder\.bias\n {2}expected finite numbers/)
  expect(await readdir(dir)).toEqual([])
})

test('numbers of 16 bits are written as they lie, and looked at', async () => {
  const file = join(place.dir, 'half.safetensors')
  /** The largest, the smallest, a subnormal one, zeros of both signs. */
  const finite = [0x7bff, 0x0001, 0x83ff, 0x8000, 0x0000, 0x3c00]
  const written = (dtype: 'float16' | 'bfloat16', bits: readonly number[], dir: string) =>
    effect(async (run) => {
      const shape = [bits.length]
      const half = { dtype, shape, data: Uint16Array.from(bits) } as const
      await run(writeSafetensors(file, { bias: { dtype, shape, read: TE.right(half) } }))
      await run(
        withCheckpointFile(file, {}, ({ arrays }) => {
          const bias = arrays.bias
          if (bias === undefined) return TE.left([failure('file', 'bias', 'an array', 'none')])
          return writePublishedRun(dir, {
            document: readingTexts(886, { from: 'folder', name: 'tokenizer' }),
            ...{ tokenizers: [], folders: {}, leftOver: [], remarks: [] },
            weights: {
              unet: { bias: { ...bias, read: TE.left([failure('file', 'bias', 'its bits', 'its numbers')]) } },
            },
          })
        }),
      )
    })
  for (const dtype of ['float16', 'bfloat16'] as const) {
    const dir = join(place.dir, dtype)
    expect(await said(written(dtype, finite, dir))).toBe('')
    expect((await readFile(join(dir, 'unet.safetensors'))).equals(await readFile(file))).toBe(true)
  }
  for (const bits of [0x7c00, 0xfe00])
    expect(await said(written('float16', [...finite, bits], join(place.dir, 'broken-half')))).toMatch(
      /finite numbers\n.*1 that/,
    )
  expect(await said(written('bfloat16', [0x7f80], join(place.dir, 'broken-half')))).toMatch(/finite numbers\n.*1 that/)
})

test('more steps than there are timesteps are refused', () => {
  const document = readingTexts(886, { from: 'folder', name: 'tokenizer' })
  const asked = { steps: 1000, eta: 0, strength: 1 }
  expect(E.isRight(walkOf(document, asked))).toBe(true)
  expect(walkOf(document, { ...asked, steps: 1001 })).toMatchObject({ left: [{ tag: 'usage', at: '--steps' }] })
})

test('one picture is a hint for all that are drawn together', () => {
  const { controlNet } = right(
    pipe(
      diffusersControlNet({ ...hinted, _class_name: 'ControlNetModel' }, 'config.json'),
      E.map(({ config }) => config),
    ),
  )
  const of = (n: number) =>
    residualsOf(controlNet, {
      x: input('x', float(n, 4, 8, 8)),
      t: input('t', float(n)),
      context: input('context', float(2 * n, 77, 32)),
      ...{ y: undefined, count: 2, guess: false },
      hint: floats([1, 3, 16, 16], new Float32Array(3 * 16 * 16)),
    })
  expect(of(1).middle.shape[0]).toBe(2)
  expect(of(3).middle.shape[0]).toBe(6)
})

test('what draws nothing by itself is named', async () => {
  const array: UnreadArray = {
    dtype: 'F32',
    bytes: 4,
    shape: [2, 2, 1, 1],
    read: TE.left([failure('file', '', '', '')]),
  }
  const keys = (...names: readonly string[]) =>
    drawsByItself('a.ckpt', Object.fromEntries(names.map((name) => [name, array])))
  expect(E.isRight(keys('model.diffusion_model.out.2.bias', 'control_model.a', 'x.lora_up.weight'))).toBe(true)
  expect(keys('control_model.zero_convs.0.0.bias')).toMatchObject({ left: [{ got: 'a ControlNet alone' }] })
  expect(keys('encoder.conv_in.weight')).toMatchObject({ left: [{ got: 'a first stage alone' }] })
  expect(keys('lora_unet_a.lora_down.weight')).toMatchObject({ left: [{ hint: expect.stringContaining('--lora') }] })
  const folder = join(place.dir, 'part')
  await mkdir(folder)
  expect(await said(noFolder(folder))).toContain('a folder of nothing')
  await writeFile(join(folder, 'config.json'), '{"_class_name":"ControlNetModel"}')
  expect(await said(noFolder(folder))).toContain('--control')
  expect(await said(noFolder(join(folder, 'config.json')))).toBe('')
})
