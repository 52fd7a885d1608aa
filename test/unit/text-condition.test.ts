import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { freeze, type Tensor } from '../../src/declare/index.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { conditionerOf, conditioning } from '../../src/experiment/conditioning.ts'
import { E } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { learnWords, leastVocabulary, specials, wordsReader } from '../../src/text/learnt.ts'
import { initialParameters } from '../../src/train/state.ts'

const captions = ['a red circle', 'a blue square left of a red circle', 'two red circles', 'Café & crème']
const words = learnWords(captions, 256)
const readerOf = (positions: number) => {
  const made = wordsReader(words, positions)
  return E.isRight(made) ? made.right : expect.unreachable(JSON.stringify(made.left))
}
const reader = readerOf(12)
const tokens = (text: string) => ({ cut: '', ...reader.row(text), ...reader.spelling?.(text) })

describe('tokens that are learnt from captions', () => {
  it('has whole words for those of the captions, the most frequent first', () => {
    expect(words.words.slice(leastVocabulary, leastVocabulary + 2)).toEqual(['red', 'circle'])
    for (const caption of captions) expect(tokens(caption)).toMatchObject({ spelled: [], unknown: [], cut: '' })
    const { ids } = tokens('A RED  circle')
    expect(ids).toEqual(tokens('a red circle').ids)
    expect(ids).toHaveLength(12)
    expect([ids[0], ids[4], ids[5]]).toEqual([specials.start, specials.end, specials.pad])
  })
  it('spells what it does not know, and says what it cannot', () => {
    expect(tokens('a mauve circle').spelled).toEqual(['mauve'])
    expect(tokens('a 円 circle').unknown).toEqual(['円'])
  })
  it('cuts what is too long, and says where', () => {
    const long = tokens('a red circle left of a red circle left of a blue square')
    expect(long.ids).toHaveLength(12)
    expect(long.ids.at(-1)).toBe(specials.end)
    expect(long.cut).toBe('a blue square')
  })
  it('leaves out the rarest words where there is no room', () => {
    expect(learnWords(captions, leastVocabulary + 1).words.slice(leastVocabulary)).toEqual(['red'])
  })
  it('tells apart whatever is written differently', () => {
    const word = fc.constantFrom('red', 'blue', 'circle', 'square', 'of', 'left', 'mauve')
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), fc.array(word, { maxLength: 6 }), (a, b) => {
        const wide = (text: string) => readerOf(64).row(text).ids.join()
        expect(wide(a.join(' ')) === wide(b.join(' '))).toBe(a.join(' ') === b.join(' '))
      }),
    )
  })
})

describe('a text as a condition', () => {
  const space = { latent: [4, 4, 4], picture: [3, 8, 8], classes: 0 }
  const made = (fields: object) => {
    const c = decode(conditioning)({ kind: 'text', vocabulary: 256, positions: 12, width: 8, heads: 2, ...fields })
    return E.isRight(c) ? conditionerOf(c.right, space) : expect.unreachable()
  }
  const context = async (told: { readonly context?: Tensor }, feeds: object, dropped?: number) => {
    const graph = freeze({ y: told.context ?? expect.unreachable() })
    if (E.isLeft(graph)) return expect.unreachable()
    const compiled = await onnx('cpu').compile(graph.right, { mode: 'training' })()
    if (E.isLeft(compiled)) return expect.unreachable(JSON.stringify(compiled.left))
    const chance =
      dropped === undefined
        ? {}
        : { caption_dropout: { dtype: 'float32' as const, shape: [2], data: new Float32Array(2).fill(dropped) } }
    const y = await compiled.right.run({ ...initialParameters(graph.right, 3), ...feeds, ...chance })()
    compiled.right.dispose()
    return E.isRight(y) ? [...(y.right.y?.data ?? [])] : expect.unreachable(JSON.stringify(y.left))
  }
  const labels = [0, 0]
  const two = Int32Array.from([...tokens('a red circle').ids, ...tokens('two blue squares').ids])

  it('is nothing where it is left out, and itself where not', async () => {
    const c = made({ dropout: 0.5 })
    const feeds = c.feeds({ labels, tokens: two })
    expect(await context(c.trained(2), feeds, 0.9)).toEqual(await context(c.given(2), feeds))
    expect(await context(c.trained(2), feeds, 0.1)).toEqual(await context(c.nothing?.(2) ?? expect.unreachable(), {}))
  })
  it('away from an empty text is away from nothing', async () => {
    const c = made({})
    const feeds = c.feeds({ labels, tokens: two, negative: { tokens: Int32Array.from(tokens('').ids) } })
    const away = c.away?.(2) ?? expect.unreachable()
    const { negative_tokens } = feeds
    expect(await context(away, { negative_tokens })).toEqual(await context(c.nothing?.(2) ?? expect.unreachable(), {}))
  })
  it('cannot do without where it is never left out', () => {
    expect(made({ dropout: 0 }).nothing).toBeUndefined()
    expect(made({ dropout: 1 }).nothing).toBeUndefined()
  })
})
