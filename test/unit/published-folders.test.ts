import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadModel, orThrow } from '../../src/index.ts'
import { unwritten, writeSafetensors } from '../../src/io/safetensors-writer.ts'
import { type Where, withPublished } from '../../src/pipelines/read.ts'
import { writeCompVis, writeDiffusers } from '../../src/pipelines/write.ts'
import { TE } from '../../src/prelude.ts'
import { tokenizerFilesIn } from '../../src/text/tokenizer-files.ts'
import { smallModel } from '../published-model.ts'
import { done, modelOf, said } from './published-models.ts'

/** Folders and files of published models that are not whole, and options that are not for them. */

const place = { dir: '' }
const at = (...names: readonly string[]): string => join(place.dir, ...names)
const remarks = (where: Where) => done(withPublished(where, (model) => TE.right(model.remarks)))
const refused = (where: Where) => said(withPublished(where, () => TE.right(undefined)))
const copied = async (name: string): Promise<string> => {
  await cp(at('sd1'), at(name), { recursive: true })
  return at(name)
}
/** The index with some entries replaced. */
const indexed = async (name: string, entries: object): Promise<string> => {
  const path = await copied(name)
  const file = join(path, 'model_index.json')
  await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), ...entries }))
  return path
}

beforeAll(async () => {
  place.dir = await mkdtemp(join(tmpdir(), 'latentgraph-folders-'))
  await done(writeDiffusers(at('sd1'), modelOf('Stable Diffusion 1'), false))
  await done(writeCompVis(at('sd2.safetensors'), modelOf('Stable Diffusion 2'), false))
  await done(writeCompVis(at('xl.safetensors'), modelOf('Stable Diffusion XL'), false))
}, 60_000)
afterAll(() => rm(place.dir, { recursive: true }))

describe('a folder of diffusers', () => {
  test('says which of its components is not read', async () => {
    expect(await remarks({ path: at('sd1') })).toEqual([])
    const safety_checker = ['stable_diffusion', 'StableDiffusionSafetyChecker']
    const path = await indexed('checked', { safety_checker, feature_extractor: [null, null] })
    expect(await remarks({ path })).toEqual([
      'safety_checker (StableDiffusionSafetyChecker) is not read: no picture is looked at',
    ])
  })
  test.each(['unet', 'vae', 'scheduler', 'text_encoder', 'tokenizer'])('is refused without its %s', async (name) => {
    expect(await refused({ path: await indexed(`null-${name}`, { [name]: [null, null] }) })).toMatch(
      new RegExp(`model_index\\.json: /${name}\n.*\n {2}got {6}\\[null,null\\]`),
    )
    const path = await copied(`without-${name}`)
    await rm(join(path, name), { recursive: true })
    expect(await refused({ path })).toBe(
      `${join(path, name)}\n  expected a folder, as model_index.json lists it\n  got      nothing there`,
    )
  })
  test('takes a component that has no files of a variant as it is, and says so', async () => {
    const path = await copied('fp16')
    const file = (component: string, variant = '') =>
      join(path, component, `diffusion_pytorch_model${variant}.safetensors`)
    expect(await refused({ path, variant: 'fp16' })).toMatch(/^--variant\n.*\n {2}got {6}fp16$/)
    await rename(file('unet'), file('unet', '.fp16'))
    expect(await remarks({ path, variant: 'fp16' })).toEqual([
      'no files of the variant fp16, so those of none are taken: vae, text_encoder',
    ])
    expect(await remarks({ path })).toEqual(['of the variant fp16, as there are no other files: unet'])
  })
})

test('a program draws from it, and encodes; what it was trained by it does not say', async () => {
  const files = tokenizerFilesIn(join(import.meta.dirname, '../golden/text/mini-clip'))
  const small = { ...(await smallModel()), tokenizerFiles: { tokenizer: files, tokenizer_2: files } }
  await done(writeDiffusers(at('small'), small, false))
  const model = await orThrow(loadModel(at('small'), { executor: 'onnx:cpu' }))
  const draw = (prompt: string) => orThrow(model.sample({ prompt, count: 1, seed: 3, steps: 2 }))
  const pictures = await draw('a castle')
  expect(pictures).toMatchObject([model.describe.size])
  expect(await draw('a castle')).toEqual(pictures)
  expect(await draw('a cat')).not.toEqual(pictures)
  expect(await orThrow(model.reconstruct(pictures))).toMatchObject([model.describe.size])
  expect(await model.loss({ pictures })()).toMatchObject({ left: [{ tag: 'usage', at: 'loss' }] })
  model.dispose()
})

test('options are refused that say nothing of a model', async () => {
  const flags = async (where: Where) => (await refused(where)).split('\n')[0]
  const folder = { path: at('sd1') }
  const checkpoint = { path: at('sd2.safetensors') }
  expect(await flags({ ...folder, config: at('sd1') })).toBe('--config')
  expect(await flags({ ...folder, yaml: at('a.yaml') })).toBe('--config')
  expect(await flags({ ...folder, tokenizers: ['a'] })).toBe('--tokenizer')
  expect(await flags({ ...folder, textEncoders: ['a'] })).toBe('--text-encoder')
  expect(await flags({ ...folder, from: 'model' })).toBe('--from')
  expect(await flags({ ...checkpoint, variant: 'fp16' })).toBe('--variant')
  expect(await flags({ ...checkpoint, config: at('sd1'), tokenizers: ['a'] })).toBe('--tokenizer')
  expect(await flags({ ...checkpoint, config: at('sd1'), textEncoders: ['a'] })).toBe('--text-encoder')
  expect(await flags({ ...checkpoint, yaml: at('sd2.yaml'), tokenizers: ['a', 'b'] })).toBe('--tokenizer')
})

test('a second encoder of texts is told of by a second option', async () => {
  const heads = async (textEncoders: readonly string[]) =>
    done(
      withPublished({ path: at('xl.safetensors'), yaml: at('xl.yaml'), textEncoders }, ({ document }) =>
        TE.right(document.conditioning.text.map(({ encoder }) => encoder.kind === 'clip' && encoder.config.heads)),
      ),
    )
  const config = async (name: string, num_attention_heads: number) => {
    const sizes = { vocab_size: 64, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2 }
    await writeFile(at(name), JSON.stringify({ ...sizes, num_attention_heads, projection_dim: 64 }))
    return at(name)
  }
  const [first, second] = [await config('one.json', 2), await config('two.json', 4)]
  expect(await heads([])).toEqual([1, 1])
  expect(await heads([first])).toEqual([2, 1])
  expect(await heads([first, second])).toEqual([2, 4])
  await writeFile(at('list.json'), '[]')
  expect(
    await refused({ path: at('xl.safetensors'), yaml: at('xl.yaml'), textEncoders: [first, at('list.json')] }),
  ).toMatch(/list\.json/)
})

test('a word of textual inversion is known as one', async () => {
  const array = { dtype: 'float32', shape: [2, 4], data: new Float32Array(8) } as const
  for (const names of [['<toy>'], ['emb_params'], ['clip_l', 'clip_g']]) {
    const path = at(`${names[0]}.safetensors`)
    await done(writeSafetensors(path, unwritten(Object.fromEntries(names.map((name) => [name, array])))))
    await rm(at('sd2.yaml'), { force: true })
    await rm(at('xl.yaml'), { force: true })
    expect(await refused({ path })).toMatch(/got {6}embeddings of a word alone.*\n {2}hint {5}sample RUN --embedding/)
  }
})
