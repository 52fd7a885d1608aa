import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { drawKey, fillNormal } from '../../src/distributions/random.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { latentDiffusion, learntAheadProgram } from '../../src/experiment/diffusion-stage.ts'
import type { Experiment } from '../../src/experiment/document.ts'
import { encoderScope, type FrozenText } from '../../src/experiment/frozen-text.ts'
import { diffusedOf } from '../../src/experiment/space.ts'
import type { EncodedPart, Encoder } from '../../src/experiment/text-encoders.ts'
import { parameters } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { toLayout } from '../../src/io/key-map.ts'
import { unwritten, writeSafetensors } from '../../src/io/safetensors-writer.ts'
import type { StoredArrays } from '../../src/io/stored.ts'
import type { Layout } from '../../src/nn/layout.ts'
import { clipBareNames, clipFileNames, openClipNames } from '../../src/nn/text/clip-names.ts'
import type { T5Config } from '../../src/nn/text/t5.ts'
import { heldTexts, withOwnTexts } from '../../src/pipelines/held-texts.ts'
import { textGraph } from '../../src/pipelines/texts.ts'
import { weightsFor } from '../../src/train/inference.ts'
import { tokenRows } from '../../src/train/texts.ts'
import { writeSmallModel } from '../published-model.ts'
import { done, right, said } from './published-models.ts'

/** Published text encoders as the condition of one's own experiment. */

const state = { dir: '' }
const at = (...path: readonly string[]): string => join(state.dir, ...path)
const miniClip = join(import.meta.dirname, '../golden/text/mini-clip')

const partOf = (encoder: Encoder, more: Partial<EncodedPart> = {}): EncodedPart => ({
  ...{ encoder, skip: 0, normalized: true, pooled: encoder.kind === 'clip' },
  ...more,
})
const weightsOf = (part: EncodedPart): StoredArrays =>
  Object.fromEntries(
    parameters(right(textGraph(part, 1, 1))).map(({ name, shape }) => {
      const data = new Float32Array(size(shape))
      fillNormal(drawKey(3, { step: 0, name, sample: 0 }), data)
      return [name, { dtype: 'float32', shape, data }]
    }),
  )
const writeJson = (path: string, document: unknown): Promise<void> => writeFile(path, JSON.stringify(document))
/** An encoder's folder, as a program writes it. */
const writeEncoder = async (
  name: string,
  part: EncodedPart,
  { file = 'model.safetensors', layout, more = {} }: { file?: string; layout: Layout; more?: StoredArrays },
  files: Readonly<Record<string, unknown>>,
): Promise<StoredArrays> => {
  await mkdir(at(name), { recursive: true })
  const weights = weightsOf(part)
  await done(writeSafetensors(at(name, file), unwritten({ ...right(toLayout(layout)(weights)), ...more })))
  for (const [own, document] of Object.entries(files)) await writeJson(at(name, own), document)
  return weights
}

const clip = {
  vocabulary: 886,
  width: 16,
  layers: 3,
  heads: 2,
  positions: 77,
  mlpWidth: null,
  eps: 1e-5,
  endToken: null,
}
const quick = { ...clip, mlpWidth: 64, activation: 'quick_gelu', projection: null } as const
const open = { ...clip, activation: 'gelu', projection: 8 } as const
const transformers = {
  vocab_size: 886,
  hidden_size: 16,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  intermediate_size: 64,
}
const t5: T5Config = {
  ...{ vocabulary: 12, width: 16, layers: 2, heads: 2, headChannels: 8, mlpWidth: 24 },
  ...{ activation: 'gated-gelu', buckets: 32, farthest: 128, eps: 1e-6 },
}
const t5File = { model_type: 't5', vocab_size: 12, d_model: 16, num_layers: 2, num_heads: 2, d_kv: 8, d_ff: 24 }
const unigram = {
  version: '1.0',
  added_tokens: [
    { id: 0, content: '<pad>', special: true, normalized: false, single_word: false, lstrip: false, rstrip: false },
    { id: 1, content: '</s>', special: true, normalized: false, single_word: false, lstrip: false, rstrip: false },
  ],
  normalizer: null,
  pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  post_processor: null,
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  model: {
    type: 'Unigram',
    unk_id: 2,
    byte_fallback: false,
    vocab: [
      ['<pad>', 0],
      ['</s>', 0],
      ['<unk>', -10],
      ['▁a', -1],
      ['▁red', -2],
      ['▁circle', -2],
      ['▁', -4],
      ['c', -5],
      ['r', -5],
      ['e', -5],
      ['d', -5],
    ],
  },
}

beforeAll(async () => {
  state.dir = await mkdtemp(join(tmpdir(), 'latentgraph-texts-'))
  await writeSmallModel(at('model'))
}, 60_000)
afterAll(() => rm(state.dir, { recursive: true }))

const training = {
  ...{ steps: 1, batchSize: 2, optimizer: { kind: 'adam' } },
  learningRate: { kind: 'constant', rate: 1e-3 },
}
const documentOf = (context: number, condition: object): object => ({
  name: 'own',
  data: { kind: 'shapes', size: 8, count: 4 },
  firstStage: { kind: 'identity' },
  diffusion: {
    unet: {
      ...{ inChannels: 3, outChannels: 3, modelChannels: 32, resBlocks: 1, channelMultipliers: [1] },
      ...{ attentionFactors: [1], heads: { by: 'count', count: 2 } },
      attention: { kind: 'transformer', contextDim: context },
    },
    conditioning: { kind: 'frozen-text', ...condition },
    schedule: { kind: 'cosine' },
    training,
  },
})
const experimentOf = async (context: number, condition: object): Promise<Experiment> =>
  right(decodeExperiment(await done(withOwnTexts(documentOf(context, condition), state.dir))))
const conditionOf = ({ diffusion }: Experiment): FrozenText =>
  diffusion?.conditioning.kind === 'frozen-text' ? diffusion.conditioning : expect.unreachable()
/** Opened where it is named from the experiment's folder. */
const placed = (c: FrozenText): FrozenText => ({
  ...c,
  from: at(c.from ?? ''),
  ...(c.tokenizer === undefined ? {} : { tokenizer: at(c.tokenizer) }),
})
/** What of an experiment is read, and what training is told of captions. */
const opened = async (context: number, condition: object, captions: readonly string[]) => {
  const e = await experimentOf(context, condition)
  const own = conditionOf(e)
  const { tokens, weights, sha256 } = await done(heldTexts(placed(own)))
  if (e.diffusion === undefined) return expect.unreachable()
  const model = right(latentDiffusion(e.diffusion, diffusedOf(e), 0))
  const graph = right(learntAheadProgram(model, captions.length) ?? expect.unreachable())
  const executable = await done(reference.compile(graph, { mode: 'sampling' }))
  const { tokens: ids, away_tokens: none } = model.conditioner.feeds({
    labels: captions.map(() => 0),
    tokens: tokenRows(tokens, captions),
  })
  if (ids === undefined || none === undefined) return expect.unreachable()
  const told = await done(executable.run({ ...weightsFor(graph, weights), tokens: ids, away_tokens: none }))
  return { own, weights, sha256, told, ids: Array.from(ids.data) }
}
const unscoped = (weights: object): readonly string[] =>
  Object.keys(weights).map((name) => name.slice(encoderScope(0).length + 1))
const numbersOf = (array: StoredArrays[string] | undefined): readonly number[] => Array.from(array?.data ?? [], Number)
const agrees = (read: Readonly<Record<string, { readonly data: ArrayLike<number> }>>, written: StoredArrays): void => {
  for (const [name, { data }] of Object.entries(read))
    expect(Array.from(data), name).toEqual(numbersOf(written[name.slice(encoderScope(0).length + 1)]))
}

describe('a text encoder that is held', () => {
  it.each([
    ['as transformers wrote it before version 5', clipFileNames],
    ['as transformers 5 writes it', clipBareNames],
  ])('is CLIP, %s, with the tokenizer beside it', async (what, layout) => {
    const name = `sd-${what.length}/text_encoder`
    const written = await writeEncoder(
      name,
      partOf({ kind: 'clip', config: quick }),
      { layout },
      {
        'config.json': { ...transformers, model_type: 'clip_text_model', architectures: ['CLIPTextModel'] },
      },
    )
    await cp(miniClip, at(name, '../tokenizer'), { recursive: true })
    const { own, weights, told } = await opened(16, { from: name, positions: 8 }, ['a red circle', ''])
    expect(own.encoders).toMatchObject([
      { encoder: { kind: 'clip', config: quick }, skip: 0, tokens: { positions: 8 } },
    ])
    expect(told.context?.shape).toEqual([2, 8, 16])
    agrees(weights, written)
  })

  it("is OpenCLIP's file, the last layer but one, with a tokenizer that is named", async () => {
    const written = await writeEncoder(
      'open',
      partOf({ kind: 'clip', config: open }),
      {
        ...{ file: 'open_clip_model.safetensors', layout: openClipNames({ width: 16 }) },
        more: { logit_scale: { dtype: 'float32', shape: [], data: Float32Array.of(1) } },
      },
      {
        'open_clip_config.json': {
          model_cfg: {
            embed_dim: 8,
            vision_cfg: {},
            text_cfg: { context_length: 77, vocab_size: 886, width: 16, heads: 2, layers: 3 },
          },
        },
      },
    )
    const without = withOwnTexts(documentOf(16, { from: 'open' }), state.dir)
    expect(await said(without)).toMatch(/^\/diffusion\/conditioning\/from: .*open\n.*tokenizer\.json/)
    await cp(miniClip, at('words'), { recursive: true })
    const { own, weights, told } = await opened(16, { from: 'open', tokenizer: 'words', positions: 8, skip: 1 }, [
      'a red circle',
    ])
    expect(own).toMatchObject({ encoders: [{ skip: 1, normalized: true, encoder: { config: open } }] })
    expect('skip' in own).toBe(false)
    agrees(weights, written)
    const last = await opened(16, { from: 'open', tokenizer: 'words', positions: 8 }, ['a red circle'])
    expect(last.told.context?.data).not.toEqual(told.context?.data)
  })

  it('is T5, of which so many tokens are read as are asked for', async () => {
    const written = await writeEncoder(
      't5',
      partOf({ kind: 't5', config: t5 }),
      {
        layout: (name) => ({ key: name === 'shared.weight' ? 'encoder.embed_tokens.weight' : name }),
        more: { 'decoder.final_layer_norm.weight': { dtype: 'float32', shape: [1], data: Float32Array.of(1) } },
      },
      { 'config.json': { ...t5File, feed_forward_proj: 'gated-gelu' }, 'tokenizer.json': unigram },
    )
    const { own, weights, told, ids } = await opened(16, { from: 't5', positions: 6 }, ['a red circle'])
    expect(ids).toEqual([3, 4, 5, 1, 0, 0])
    expect(told.context?.shape).toEqual([1, 6, 16])
    expect(own.encoders[0]?.encoder).toEqual({ kind: 't5', config: t5 })
    agrees(weights, written)
    expect(unscoped(weights)).toContain('shared.weight')
    expect(conditionOf(await experimentOf(16, { from: 't5' })).encoders[0]?.tokens.positions).toBe(77)
  })

  it('are all of a model that was imported, as it takes them, and its sizes where they are told', async () => {
    const { own, told } = await opened(32, { from: 'model', sizes: { dim: 8 } }, ['a red circle'])
    expect(own.encoders).toMatchObject([
      { skip: 1, normalized: false },
      { skip: 1, pooled: true },
    ])
    expect(told.context?.shape).toEqual([1, 77, 32])
    expect(told.vector?.shape).toEqual([1, 16 + 6 * 8])
  })

  it('is another where its numbers or its words are, and must be as the experiment has it', async () => {
    const own = placed(conditionOf(await experimentOf(32, { from: 'model' })))
    const { sha256 } = await done(heldTexts(own))
    await cp(at('model'), at('moved'), { recursive: true })
    expect((await done(heldTexts({ ...own, from: at('moved') }))).sha256).toBe(sha256)
    const file = at('moved', 'text.1.safetensors')
    const bytes = await readFile(file)
    bytes[bytes.length - 2] = (bytes[bytes.length - 2] ?? 0) ^ 1
    await writeFile(file, bytes)
    expect((await done(heldTexts({ ...own, from: at('moved') }))).sha256).not.toBe(sha256)
    expect(await said(heldTexts({ ...own, from: at('t5') }))).toMatch(/expected .*as the experiment has it/)
    expect(await said(heldTexts({ ...own, from: at('nowhere') }))).toMatch(/nowhere, which is not there/)
  })
})

describe('what is asked of encoders', () => {
  const errors = async (condition: object): Promise<string> => {
    const whole = await done(withOwnTexts(documentOf(16, condition), state.dir))
    return said(async () => decodeExperiment(whole))
  }
  it('is refused where they have not got it', async () => {
    expect(await errors({})).toMatch(
      /^\/diffusion\/conditioning\/from\n {2}expected a published model or a text encoder/,
    )
    expect(await errors({ from: 't5', skip: 1 })).toMatch(/\/encoders\/0\/skip\n {2}expected at most 0/)
    expect(await errors({ from: 't5', normalized: false })).toMatch(/\/encoders\/0\/normalized/)
    expect(await errors({ from: 't5', sizes: { dim: 8 } })).toMatch(/\/sizes\n {2}expected null/)
    expect(await errors({ from: 'model' })).toMatch(/contextDim\n {2}expected 32, as the condition gives/)
  })
  it('is not built for every encoder', async () => {
    await mkdir(at('bert'))
    await writeJson(at('bert', 'config.json'), { model_type: 'bert' })
    const found = await said(withOwnTexts(documentOf(16, { from: 'bert' }), state.dir))
    expect(found).toMatch(/model_type\n {2}expected clip_text_model \| clip \| t5 \| mt5\n {2}got {6}"bert"\n {2}hint/)
  })
  it('leaves guidance to what was trained without captions', async () => {
    const e = await experimentOf(32, { from: 'model', dropout: 0 })
    if (e.diffusion === undefined) return expect.unreachable()
    expect(right(latentDiffusion(e.diffusion, diffusedOf(e), 0)).conditioner.nothing).toBeUndefined()
  })
})
