import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type Effect, effect } from '../../src/error.ts'
import { sha256 } from '../../src/io/bytes.ts'
import { asArgument } from '../../src/io/names.ts'
import { type Where, withPublished } from '../../src/pipelines/read.ts'
import type { ReadModel } from '../../src/pipelines/read-model.ts'
import type { Weights } from '../../src/pipelines/weights.ts'
import { type Written, writeCompVis, writeDiffusers } from '../../src/pipelines/write.ts'
import { E, TE } from '../../src/prelude.ts'
import { learnWords, wordsFiles, wordsTokenizer } from '../../src/text/learnt.ts'
import { textRow } from '../../src/text/prompt.ts'
import { asFiles } from '../../src/text/tokenizer-files.ts'
import { documents, done, modelOf, right, weightsOf } from './published-models.ts'

/** What is exported is what was there. */

const dir = mkdtempSync(join(tmpdir(), 'export-'))
afterAll(() => rmSync(dir, { recursive: true }))

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
  it.each([
    'Stable Diffusion 2',
    'Stable Diffusion XL refiner',
    'classes, quantised',
    'unconditional',
    'label maps',
    'boxes',
  ] as const)('for the original code, and imported, is what it was: %s', async (name) => {
    const model = modelOf(name)
    const path = join(dir, `${name}.safetensors`)
    const said = await done(writeCompVis(path, model, false))
    expect(said.some((text) => text.includes('is zeros'))).toBe(name === 'Stable Diffusion 2')
    expect(await readBack({ path, yaml: path.replace('.safetensors', '.yaml') }, model)).toMatchObject(documents[name])
  })
  it.each(['Stable Diffusion 1', 'Stable Diffusion XL', 'Stable Diffusion XL refiner'] as const)(
    'as a folder of diffusers, and imported, is what it was: %s',
    async (name) => {
      const model = modelOf(name)
      const path = join(dir, name)
      await done(writeDiffusers(path, model, false))
      const read = await readBack({ path }, model)
      const tokenizers = model.document.conditioning.text.map((text, k) => ({
        ...text,
        tokenizer: { from: 'folder', name: k === 0 && !name.includes('refiner') ? 'tokenizer' : 'tokenizer_2' },
      }))
      expect(read.conditioning).toEqual({ ...model.document.conditioning, text: tokenizers })
      expect(read).toMatchObject({ firstStage: documents[name].firstStage, side: 8, predicts: model.document.predicts })
      if (model.document.sampling.by === 'diffusers') expect(read.sampling).toEqual(model.document.sampling)
      expect(E.isLeft(await writeDiffusers(path, model, false)())).toBe(true)
    },
  )
  it('keeps words that were learnt from captions, in both formats', async () => {
    const words = learnWords(['a red circle', 'a blue square left of a red circle', 'Café & crème'], 160)
    const tokenizer = right(wordsTokenizer(words, 16))
    const { document } = modelOf('Stable Diffusion 1')
    const [part] = document.conditioning.text
    if (part?.encoder.kind !== 'clip') return expect.unreachable()
    const encoder = { kind: 'clip', config: { ...part.encoder.config, positions: 16 } } as const
    const text = [{ ...part, encoder, tokenizer: { from: 'folder', name: 'tokenizer' } as const }]
    const own = { ...document, conditioning: { ...document.conditioning, text } }
    const model = {
      document: own,
      weights: weightsOf(own),
      tokenizerFiles: { tokenizer: TE.right(asFiles(wordsFiles(words, 16))) },
    }
    const [folder, file] = [join(dir, 'own'), join(dir, 'own.safetensors')]
    await done(writeDiffusers(folder, model, false))
    const remarks = await done(writeCompVis(file, model, false))
    expect(remarks.join()).toContain(`--tokenizer ${asArgument(join(dir, 'own.tokenizer'))}`)
    const others = { yaml: join(dir, 'own.yaml'), tokenizers: [join(dir, 'own.tokenizer')] }
    for (const where of [{ path: folder }, { path: file, ...others }]) {
      const [read] = await done(withPublished(where, ({ tokenizers }) => TE.right(tokenizers)))
      if (read === undefined) return expect.unreachable()
      fc.assert(
        fc.property(fc.oneof(fc.string(), fc.constantFrom('A RED circle', 'mauve Café', '[END] [PAD]')), (said) => {
          expect(textRow(read, said)).toEqual(textRow(tokenizer, said))
        }),
      )
    }
  })
  it('as a folder of diffusers, and imported, is what it was: pixels', async () => {
    const model = modelOf('pixels')
    await done(writeDiffusers(join(dir, 'pixels'), model, false))
    const read = await readBack({ path: join(dir, 'pixels') }, model)
    expect(read).toMatchObject({ ...documents.pixels, steps: 1000, guidance: 1, side: 8 })
    // As google/ddpm-* lie: all beside the index.
    for (const [folder, file] of [
      ['unet', 'config.json'],
      ['unet', 'diffusion_pytorch_model.safetensors'],
      ['scheduler', 'scheduler_config.json'],
    ] as const)
      renameSync(join(dir, 'pixels', folder, file), join(dir, 'pixels', file))
    for (const folder of ['unet', 'scheduler']) rmSync(join(dir, 'pixels', folder), { recursive: true })
    expect(await readBack({ path: join(dir, 'pixels') }, model)).toEqual(read)
    const places = await writeCompVis(join(dir, 'pixels.safetensors'), model, false)()
    expect(E.isLeft(places) && places.left.map(({ at }) => at)).toEqual(['/firstStage/kind'])
  })
  it('is refused by name where a format has no place for it', async () => {
    const places = async (e: Effect<unknown>) => {
      const found = await e()
      return E.isLeft(found) ? found.left.map(({ at }) => at) : []
    }
    for (const name of ['classes, quantised', 'label maps', 'boxes'] as const)
      expect(await places(writeDiffusers(join(dir, 'no'), modelOf(name), false))).toEqual(['/conditioning'])
    const xl = modelOf('Stable Diffusion XL')
    const shifted = { ...xl.document.firstStage, shift: 0.1 }
    const flow = { ...xl.document, firstStage: shifted }
    expect(await places(writeCompVis(join(dir, 'no.safetensors'), { ...xl, document: flow }, false))).toEqual([
      '/firstStage/shift',
    ])
    expect(await places(writeCompVis(join(dir, 'no.ckpt'), xl, false))).toEqual(['--safetensors'])
  })
})
