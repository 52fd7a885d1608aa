import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sha256 } from '../../src/io/bytes.ts'
import { writeSmallModel } from '../published-model.ts'
import { drawPictures, pixelsOf, type Workplace, workplace } from './program.ts'

/** What is trained beside a published model: interrupted, gone on with, drawn with. */

const held: { place?: Workplace; model?: string } = {}
const place = (): Workplace => held.place ?? expect.unreachable('no place to work in')
const at = (...path: readonly string[]): string => join(place().dir, ...path)
const slow = { timeout: 300_000 }

const digestOf = async (dir: string): Promise<string> => {
  const names = (await readdir(dir)).filter((name) => /\.(safetensors|json)$/.test(name)).toSorted()
  return sha256((await Promise.all(names.map(async (name) => sha256(await readFile(join(dir, name)))))).join())
}
const training = {
  steps: 4,
  batchSize: 2,
  optimizer: { kind: 'adamw' },
  learningRate: { kind: 'constant', rate: 0.1 },
  checkpointEvery: 2,
  validate: { every: 2, pictures: 4 },
}
const experiment = { name: 'style', data: { kind: 'shapes', size: 16, count: 24, heldOut: 4 }, training, dropout: 0.2 }
const write = (name: string, adapter: object, more: object = {}): Promise<void> =>
  writeFile(at(name), JSON.stringify({ ...experiment, ...more, adapter: { of: 'model', ...adapter } }))

/** Trains at once, and in two parts, of which the second is a process of its own; says where. */
const trained = async (name: string, steps = '/training/steps'): Promise<readonly [string, string]> => {
  const train = ['train', `${name}.json`, '--executor', 'onnx:cpu', '--out']
  const ended = [
    await place().here([...train, name]),
    await place().here([...train, `${name}-parts`, '--set', `${steps}=2`]),
    await place().run([...train, `${name}-parts`, '--resume']),
  ]
  for (const { code, out, err } of ended) expect(code, out + err).toBe(0)
  return [name, `${name}-parts`]
}
const same = async ([a, b]: readonly [string, string], names: readonly string[]): Promise<void> => {
  for (const name of names) expect((await readFile(at(a, name))).equals(await readFile(at(b, name))), name).toBe(true)
}
const drawn = async (...more: readonly string[]): Promise<Buffer> => {
  const { code, err } = await place().here([
    ...['sample', 'model', '--prompt', 'a red circle', '--count', '2', '--steps', '3', '--executor', 'onnx:cpu'],
    ...['--out', 'drawn.png', ...more],
  ])
  expect(code, err).toBe(0)
  return pixelsOf(at('drawn.png'))
}

beforeAll(async () => {
  held.place = await workplace()
  await writeSmallModel(at('model'))
  held.model = await digestOf(at('model'))
}, 120_000)
afterAll(async () => {
  expect(await digestOf(at('model'))).toBe(held.model)
  await place().dispose()
})

test('an adapter: on with the same bits, drawn with as other programs have it', slow, async () => {
  await write('lora.json', { kind: 'lora', rank: 2, on: ['attn2'] })
  const checked = await place().here(['check', 'lora.json'])
  expect(checked.code, checked.err).toBe(0)
  expect(checked.out).toMatch(/rank 2 on 16 weights: [\d,]+ numbers are trained;\n.*without state of adamw/)
  const runs = await trained('lora')
  const files = ['adapter.diffusers.safetensors', 'adapter.kohya.safetensors']
  await same(runs, [...files, 'samples.png', 'diffusion/metrics.jsonl'])
  const plain = await drawn()
  const withRun = await drawn('--lora', 'lora')
  expect(withRun.equals(plain)).toBe(false)
  expect((await drawn('--lora', 'lora/adapter.kohya.safetensors')).equals(withRun)).toBe(true)
  const own = await place().here(['sample', 'lora', '--prompt', 'a red circle', '--count', '1', '--out', 'own.png'])
  expect(own.code, own.err).toBe(0)
})

test('a word: on with the same bits, drawn with as other programs have it', slow, async () => {
  await write('word.json', { kind: 'textual-inversion', token: '<toy>', initial: 'red', vectors: 2 })
  expect((await place().here(['check', 'word.json'])).err).toMatch(/^\/dropout\n {2}expected 0/)
  await write('word.json', { kind: 'textual-inversion', token: '<toy>', initial: 'red', vectors: 2 }, { dropout: 0 })
  const runs = await trained('word')
  await same(runs, ['learned_embeds.safetensors', 'toy.safetensors', 'samples.png', 'diffusion/metrics.jsonl'])
  const by = (embedding: string) => drawn('--embedding', embedding, '--prompt', 'a <toy> circle')
  const withRun = await by('word')
  expect((await by('word/toy.safetensors:<toy>')).equals(withRun)).toBe(true)
})

test('a ControlNet: on with the same bits, drawn with as diffusers has it', slow, async () => {
  await drawPictures(at('pictures'))
  await drawPictures(at('hints'))
  const names = (await readdir(at('pictures'), { recursive: true })).filter((name) => name.endsWith('.png')).toSorted()
  const lines = names.map((name) => JSON.stringify({ file_name: name, text: `a ${name.split('/')[0]}` }))
  await writeFile(at('pictures/metadata.jsonl'), lines.join('\n'))
  const data = { kind: 'folder', path: 'pictures', size: 16, heldOut: 4 }
  await write('control.json', { kind: 'controlnet', hints: 'hints' }, { data })
  const runs = await trained('control')
  const file = 'controlnet/diffusion_pytorch_model.safetensors'
  await same(runs, [file, 'controlnet/config.json', 'samples.png', 'diffusion/metrics.jsonl'])
  const hint = ['--hint', 'hints/disc/03.png']
  expect((await drawn('--control', 'control', ...hint)).equals(await drawn())).toBe(false)
  const own = ['sample', 'control', '--prompt', 'a disc', '--count', '1', '--steps', '3', '--out', 'own.png']
  expect((await place().here(own)).err).toMatch(/^--hint\n {2}expected a picture of 16x16 pixels/)
  const { code, err } = await place().here([...own, ...hint])
  expect(code, err).toBe(0)
  await rm(at('hints/disc/03.png'))
  expect((await place().here(['check', 'control.json'])).err).toMatch(/disc\/03\n {2}expected the hint of disc\/03.png/)
})

test(
  'text encoders that an experiment holds: on with the same bits, found again, missed where they are not',
  slow,
  async () => {
    const own = {
      ...{ name: 'own', data: experiment.data, firstStage: { kind: 'identity' } },
      diffusion: {
        unet: {
          ...{ inChannels: 3, outChannels: 3, modelChannels: 32, resBlocks: 1, channelMultipliers: [1, 1] },
          ...{
            attentionFactors: [2],
            heads: { by: 'count', count: 2 },
            attention: { kind: 'transformer', contextDim: 32 },
          },
        },
        conditioning: { kind: 'frozen-text', from: 'model' },
        ...{ schedule: { kind: 'cosine' }, training: { ...training, learningRate: { kind: 'constant', rate: 1e-3 } } },
      },
      sampling: { sampler: 'ddim', steps: 3, guidance: 2 },
    }
    await writeFile(at('own.json'), JSON.stringify(own))
    const checked = await place().here(['check', 'own.json'])
    expect(checked.out, checked.err).toMatch(
      /clip, 77 tokens; clip, 77 tokens: [\d,]+ numbers of .*model stay as they are/,
    )
    await same(await trained('own', '/diffusion/training/steps'), ['samples.png', 'diffusion/metrics.jsonl'])
    const kept = await readdir(at('own/diffusion/checkpoints/step-00000004'))
    const names = (
      await Promise.all(kept.map((name) => readFile(at('own/diffusion/checkpoints/step-00000004', name), 'latin1')))
    ).join()
    expect(names).not.toContain('token_embedding')
    const drawing = ['sample', 'own', '--prompt', 'a red circle', '--count', '2', '--out', 'own.png']
    const { code, err } = await place().here([...drawing, '--previews', 'seen'])
    expect(code, err).toBe(0)
    expect((await readdir(at('seen'))).toSorted()).toEqual(['step-1.png', 'step-2.png', 'step-3.png', 'strip.png'])
    await rename(at('model'), at('moved'))
    const missed = await place().here(drawing)
    await rename(at('moved'), at('model'))
    expect(missed.err).toMatch(
      /model, which is not there\n {2}hint {5}put them back, or say in own\/experiment.json where/,
    )
  },
)

test('what cannot be trained beside a model is told by name', slow, async () => {
  const said = async (adapter: object): Promise<string> => {
    await write('wrong.json', adapter)
    return (await place().here(['check', 'wrong.json'])).err
  }
  expect(await said({ kind: 'lora', rank: 2, of: 'nowhere' })).toMatch(/^\/adapter\/of\n {2}expected the folder of a/)
  expect(await said({ kind: 'lora', rank: 0 })).toMatch(/^\/adapter\/rank\n/)
  expect(await said({ kind: 'lora', rank: 2, on: ['attn3'] })).toMatch(/^\/adapter\/on\/0\n.*\n.*"attn3"/)
})
