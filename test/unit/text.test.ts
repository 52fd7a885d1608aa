import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { E } from '../../src/prelude.ts'
import {
  clipTokenizer,
  mended,
  promptIds,
  readTextualInversion,
  readTokenizer,
  type Tokenizer,
  tokenizerOfJson,
  tokenizerOfMerges,
  vectorsFor,
  weightedPrompts,
  weightedTexts,
  withInversion,
} from '../../src/text/index.ts'
import { right } from '../arbitrary/run.ts'

const golden = (...path: readonly string[]): string => join(import.meta.dirname, '../golden/text', ...path)
const json = (...path: readonly string[]) => JSON.parse(readFileSync(golden(...path), 'utf8'))
const text = (...path: readonly string[]): string => readFileSync(golden(...path), 'utf8')

interface Entry {
  readonly text: string
  readonly ids: readonly number[]
  readonly ids_fast?: readonly number[]
}
const entries = (file: string): readonly Entry[] => json(file).entries
const beside = {
  config: json('mini-clip/tokenizer_config.json'),
  specialTokens: json('mini-clip/special_tokens_map.json'),
}
const mini = right(tokenizerOfJson(json('mini-clip/tokenizer.json'), beside))
const slow = right(tokenizerOfMerges(json('mini-clip/vocab.json'), text('mini-clip/merges.txt'), beside))
const clip = right(await clipTokenizer({ cleaning: 'transformers', pad: '<|endoftext|>' })())
const bert = right(await readTokenizer(golden('mini-bert'), { positions: 77 })())

const found = (tokenizer: Tokenizer, all: readonly Entry[]) => all.map((e) => tokenizer.encode(e.text))

describe('tokens', () => {
  test('of tokenizer.json are those of the fast tokenizer', () => {
    const all = entries('mini-clip.json')
    expect(found(mini, all)).toEqual(all.map((e) => e.ids_fast ?? e.ids))
  })
  test('of vocab.json and merges.txt, and of CLIP itself, are those of the slow ones, which mend texts', () => {
    const [small, large] = [entries('mini-clip.json'), entries('clip.json')]
    expect(found(slow, small)).toEqual(small.map((e) => e.ids))
    expect(found(clip, large)).toEqual(large.map((e) => e.ids))
  })
  test('of BERT stand between their own start and end, padding behind', () => {
    const all = entries('mini-bert.json')
    expect(all.map((e) => right(promptIds(bert, e.text)).ids)).toEqual(all.map((e) => e.ids))
  })
  test('are lowered letter by letter, and what lies between special tokens is mended alone', () => {
    expect(mini.encode('ΟΔΟΣ')).toEqual(mini.encode('οδοσ'))
    expect(mini.encode('ΟΔΟΣ')).not.toEqual(mini.encode('οδος'))
    expect(slow.encode('&lt; <|endoftext|> &amp;')).toEqual([...slow.encode('<'), slow.end, ...slow.encode('&')])
  })
  test('a folder without a tokenizer is refused by what is in it', async () => {
    const read = await readTokenizer(golden('inversions'))()
    expect(E.isLeft(read) && read.left[0]).toMatchObject({ tag: 'file', got: expect.stringContaining('a1111.pt') })
  })
})

describe('prompts', () => {
  const prompt = fc.stringMatching(/^[a-z ,.!0-9']{0,400}$/)
  test('fill all positions, and say what is cut', () => {
    fc.assert(
      fc.property(prompt, (written) => {
        const { ids, cut } = right(promptIds(mini, written))
        const whole = mini.encode(written)
        expect(ids).toHaveLength(77)
        expect([ids[0], ids[Math.min(whole.length, 75) + 1]]).toEqual([mini.start, mini.end])
        expect(ids.slice(1, 76).slice(0, whole.length)).toEqual(whole.slice(0, 75))
        expect(cut === undefined).toBe(whole.length <= 75)
      }),
      { numRuns: 60 },
    )
  })
  test('decoded and encoded again are the same tokens', () => {
    fc.assert(
      fc.property(prompt, (written) => {
        const ids = mini.encode(written)
        expect(mini.encode(mini.decode(ids))).toEqual(ids)
      }),
      { numRuns: 60 },
    )
  })
  test('are padded as the files say', () => {
    const zero = right(tokenizerOfJson(json('mini-clip/tokenizer.json'), { ...beside, pad: '!' }))
    expect(right(promptIds(zero, 'a')).ids.at(-1)).toBe(0)
    expect(right(promptIds(mini, 'a')).ids.at(-1)).toBe(mini.end)
  })
})

test('texts are mended as ftfy mends them', () => {
  const pairs: readonly (readonly [string, string])[] = json('mended.json')
  expect(pairs.map(([written]) => mended(written))).toEqual(pairs.map(([, wanted]) => wanted))
})

describe('weights on words', () => {
  const given = json('prompt-weights.json')
  test('are parsed as the community pipeline does', () => {
    for (const { text: written, pieces } of given.parse)
      expect(right(weightedTexts(written)).map((p) => [p.text, p.weight])).toEqual(pieces)
  })
  test('long prompts come in chunks, both prompts in equally many', () => {
    for (const { prompts, innerEnds, ids, weights } of given.runs) {
      const all = right(weightedPrompts(mini, prompts, { innerEnds }))
      expect(all.flatMap((p) => p.ids)).toEqual(ids)
      expect(all.flatMap((p) => p.weights).map((w) => Math.round(w * 1e6) / 1e6)).toEqual(weights)
    }
  })
  test('a weight that is no number is refused', () => {
    const wrong = weightedTexts('a (cat:1.2.3)')
    expect(E.isLeft(wrong) && wrong.left[0]).toMatchObject({ tag: 'data', at: 'prompt', got: ':1.2.3)' })
  })
  test('what does not fit into the chunks is said', () => {
    const [only] = right(weightedPrompts(mini, ['fox '.repeat(400)], { mostChunks: 2 }))
    expect(only?.chunks).toHaveLength(2)
    expect(only?.cut).toContain('fox')
  })
})

describe('textual inversions', () => {
  const read = async (file: string, token?: string) =>
    right(await readTextualInversion(golden('inversions', file), token)())
  test('are read from every form, with their words', async () => {
    const all = [
      await read('learned_embeds.safetensors'),
      await read('learned_embeds.bin'),
      await read('a1111.pt'),
      await read('a1111_emb_params.safetensors'),
      await read('xl_clip_l_clip_g.safetensors', '<xl>'),
    ]
    expect(all.map(({ token }) => token)).toEqual(['<toy>', '<toy-bin>', 'styletoken', 'a1111_emb_params', '<xl>'])
    expect(all.map(({ vectors }) => Object.values(vectors).map(({ shape }) => shape))).toEqual([
      [[1, 32]],
      [[1, 32]],
      [[2, 32]],
      [[2, 32]],
      [
        [2, 32],
        [2, 24],
      ],
    ])
  })
  test('several vectors follow their word in a prompt, and lie behind the table', async () => {
    const [multi, toy] = [await read('learned_embeds_multi.safetensors'), await read('learned_embeds.safetensors')]
    const table = { dtype: 'float32', shape: [mini.size, 32], data: new Float32Array(mini.size * 32) } as const
    const once = right(withInversion(multi, 'any')({ tokenizer: mini, table }))
    const twice = right(withInversion(toy, 'any')(once))
    const [prompt] = Object.values<readonly number[]>(json('inversion-ids.json'))
    expect(right(promptIds(twice.tokenizer, 'a photo of <multi> and <toy>')).ids).toEqual(prompt)
    expect(twice.table.shape).toEqual([mini.size + 4, 32])
    expect(twice.table.data.slice(mini.size * 32, (mini.size + 3) * 32)).toEqual(right(vectorsFor(multi, 'any')).data)
  })
  test('of another width, or of a word that is there, are refused', async () => {
    const toy = await read('learned_embeds.safetensors')
    const table = (width: number) => ({ dtype: 'float32', shape: [1, width], data: new Float32Array(width) }) as const
    const wide = withInversion(toy, 'any')({ tokenizer: mini, table: table(24) })
    expect(E.isLeft(wide) && wide.left[0]).toMatchObject({ at: '<toy>', got: 'width 32' })
    const once = right(withInversion(toy, 'any')({ tokenizer: mini, table: table(32) }))
    const again = withInversion(toy, 'any')(once)
    expect(E.isLeft(again) && again.left[0]).toMatchObject({ tag: 'data', got: '"<toy>"' })
  })
})
