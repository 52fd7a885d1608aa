import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { freeze, type Tensor } from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { type Conditioner, conditionerOf, conditioning } from '../../src/experiment/conditioning.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { E } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { learnWords, leastVocabulary, specials, wordsReader } from '../../src/text/learnt.ts'
import { drawLatents } from '../../src/train/drawing.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { initialParameters } from '../../src/train/state.ts'
import { right } from './diffusion-fixtures.ts'

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
  const aheadOf = (c: Conditioner, leaf: string): Tensor => c.ahead?.(2)[leaf] ?? expect.unreachable()
  const labels = [0, 0]
  const two = Int32Array.from([...tokens('a red circle').ids, ...tokens('two blue squares').ids])

  it('is nothing where it is left out, and itself where not', async () => {
    const c = made({ dropout: 0.5 })
    const feeds = c.feeds({ labels, tokens: two })
    expect(await context(c.trained(2), feeds, 0.9)).toEqual(await context(c.given(2), feeds))
    expect(await context(c.trained(2), feeds, 0.1)).toEqual(
      await context({ context: aheadOf(c, 'nothing_context') }, {}),
    )
  })
  it('away from an empty text is away from nothing', async () => {
    const c = made({})
    const feeds = c.feeds({ labels, tokens: two, negative: { tokens: Int32Array.from(tokens('').ids) } })
    const { negative_tokens } = feeds
    expect(await context({ context: aheadOf(c, 'away_context') }, { negative_tokens })).toEqual(
      await context({ context: aheadOf(c, 'nothing_context') }, {}),
    )
  })
  it('is encoded before a walk, whose steps are told the states alone', async () => {
    const c = made({})
    const negative = { tokens: Int32Array.from(tokens('a blue square').ids) }
    const feeds = c.feeds({ labels, tokens: two, negative })
    const told = [c.walked?.(2), c.nothing?.(2), c.away?.(2)].map((one) => one?.context ?? expect.unreachable())
    const leaves = told.map((state) => feedTypes(right(freeze({ state }))))
    expect(leaves.flatMap(Object.keys)).toEqual(['context', 'nothing_context', 'away_context'])
    for (const leaf of leaves) expect(Object.values(leaf)).toEqual([{ dtype: 'float32', shape: [2, 12, 8] }])
    expect(await context({ context: aheadOf(c, 'context') }, { tokens: feeds.tokens })).toEqual(
      await context(c.given(2), { tokens: feeds.tokens }),
    )
  })
  it('draws the same bits as where every step encodes it', { timeout: 60_000 }, async () => {
    const e = right(
      await loadExperiment(join(import.meta.dirname, '../../graphs/tiny.json'), [
        '/diffusion/unet/attention={"kind":"transformer","contextDim":8}',
        '/diffusion/conditioning={"kind":"text","vocabulary":256,"positions":12,"width":8,"heads":2}',
      ])(),
    )
    const { diffusion } = right(planExperiment(e, 0))
    if (diffusion === undefined) return expect.unreachable()
    const { model, step } = diffusion
    const state = Object.fromEntries(
      Object.entries(initialParameters(step.declared, 1)).map(([name, v]) => [
        name,
        floats(
          v.shape,
          Float32Array.from(v.data, (_, i) => Math.sin(7 * i) / 9),
        ),
      ]),
    )
    const { ahead, walked: _, ...c } = model.conditioner
    const within = (leaf: string) => (batch: number) => ({ context: ahead?.(batch)[leaf] ?? expect.unreachable() })
    const inSteps = { ...c, nothing: within('nothing_context'), away: within('away_context') }
    const negative = { tokens: Int32Array.from(tokens('a blue square').ids) }
    for (const more of [{}, { negative }]) {
      const wanted = { labels, tokens: two, seed: 1, sampling: e.sampling, scale: 1, ...more }
      const once = right(await drawLatents(onnx('cpu'), model, state, wanted)())
      const each = right(await drawLatents(onnx('cpu'), { ...model, conditioner: inSteps }, state, wanted)())
      expect(each.data).toEqual(once.data)
    }
  })
  it('cannot do without where it is never left out', () => {
    expect(made({ dropout: 0 }).nothing).toBeUndefined()
    expect(made({ dropout: 1 }).nothing).toBeUndefined()
  })
})
