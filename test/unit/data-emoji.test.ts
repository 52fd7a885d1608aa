import { performance } from 'node:perf_hooks'
import { describe, expect, it } from 'vitest'
import { type Dataset, labelsOf, split } from '../../src/data/dataset.ts'
import { emojiBase, loadEmoji } from '../../src/data/emoji.ts'
import { E } from '../../src/prelude.ts'
import { right } from '../arbitrary/run.ts'

const started = performance.now()
const result = await loadEmoji()()
const elapsed = performance.now() - started
const emoji: Dataset = E.isRight(result) ? result.right : expect.unreachable(JSON.stringify(result.left))
const range = Array.from({ length: emoji.n }, (_, i) => i)
const { pictures } = right(await emoji.read(range)())
const names = range.map((i) => emoji.about(i).name)
const random = (counter: number): number => Math.imul(counter + 1, 0x9e3779b1) >>> 0

describe('the built-in emoji', () => {
  it('are 1,636 of eight classes, loaded in seconds', () => {
    expect(emoji).toMatchObject({ n: 1636, channels: 3, height: 32, width: 32 })
    expect(pictures).toHaveLength(1636 * 3 * 32 * 32)
    expect(emoji.classes).toEqual([
      'Activities',
      'Animals & Nature',
      'Food & Drink',
      'Objects',
      'People & Body',
      'Smileys & Emotion',
      'Symbols',
      'Travel & Places',
    ])
    expect(new Set(labelsOf(emoji))).toEqual(new Set([0, 1, 2, 3, 4, 5, 6, 7]))
    console.info(`1,636 emoji in ${elapsed.toFixed(0)} ms`)
  })

  it('are of some categories where they are named', async () => {
    const some = right(await loadEmoji({ categories: ['Food & Drink', 'Animals & Nature'] })())
    expect(some.classes).toEqual(['Animals & Nature', 'Food & Drink'])
    const wanted = range.filter((i) => some.classes.includes(emoji.about(i).class ?? ''))
    expect(Array.from({ length: some.n }, (_, i) => some.about(i).name)).toEqual(wanted.map((i) => emoji.about(i).name))
  })

  it('lie in [-1, 1] on white', async () => {
    expect(pictures.every((v) => v >= -1 && v <= 1)).toBe(true)
    const { pictures: apple } = right(await emoji.read([names.indexOf('apple')])())
    expect([apple[0], apple[1024], apple[2048]]).toEqual([1, 1, 1])
    const centre = 16 * 32 + 16
    expect(apple[centre]).toBeGreaterThan(0.5)
    expect(apple[1024 + centre]).toBeLessThan(0)
  })

  it('have captions in words', () => {
    const caption = (name: string) => emoji.about(names.indexOf(name)).caption
    expect(['woman-surfing', 'man_in_tuxedo', '-1', 'apple'].map(caption)).toEqual([
      'woman surfing',
      'man in tuxedo',
      'thumbs down sign',
      'red apple',
    ])
  })

  it.each([
    ['1F3C4-200D-2640-FE0F', '1F3C4'],
    ['1F468-200D-1F3A8', '1F9D1-1F3A8'],
    ['1F469-200D-1F9B0', '1F9D1'],
    ['1F44B-1F3FD', '1F44B'],
    ['1F34E', '1F34E'],
    ['2640-FE0F', '2640-FE0F'],
  ])('%s is a variant of %s', (unified, base) => expect(emojiBase(unified)).toBe(base))

  it('held-out emoji are no variants of training ones', () => {
    const { train, heldOut } = split(emoji, 100, random)
    expect([train.n, heldOut.n]).toEqual([1536, 100])
    const groupsOf = ({ n, about }: Dataset) => Array.from({ length: n }, (_, i) => about(i).group)
    const known = new Set(groupsOf(train))
    expect(known.size).toBeGreaterThan(1000)
    expect(groupsOf(heldOut).filter((group) => known.has(group))).toEqual([])
  })
})
