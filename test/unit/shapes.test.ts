import { expect, test } from 'vitest'
import { isTrueOf } from '../../src/data/read-scene.ts'
import { captionOf, isUnseen, type Saying, sceneOf } from '../../src/data/scenes.ts'
import { askedSaying, loadShapes, paint } from '../../src/data/shapes.ts'
import { ofByte } from '../../src/io/pictures.ts'
import { E } from '../../src/prelude.ts'

const sortsOf = (saying: Saying) => (saying.kind === 'pair' ? [saying.first, saying.second] : [saying.sort])
const painted = (saying: Saying, i: number, side: number) => ({
  side,
  data: Float32Array.from(
    paint(
      sceneOf(saying, (n) => Math.imul(n * 7919 + i, 2654435761) >>> 0),
      side,
    ),
    ofByte,
  ),
})

for (const side of [32, 64])
  for (const unseen of [false, true])
    test(`what pictures of ${side} pixels show is read from them: ${unseen ? 'unseen' : 'seen'} sorts`, () => {
      const sayings = Array.from({ length: 200 }, (_, i) => askedSaying(i, unseen))
      const wrong = sayings.filter((saying, i) => !isTrueOf(saying, painted(saying, i, side)))
      expect(wrong.map(captionOf)).toEqual([])
      for (const saying of sayings) expect(sortsOf(saying).some(isUnseen)).toBe(unseen)
    })

test('another caption is not true of a picture', () => {
  const sayings = Array.from({ length: 100 }, (_, i) => askedSaying(i, false))
  for (const [i, saying] of sayings.entries()) {
    const other = sayings.find((s) => captionOf(s) !== captionOf(saying) && s.kind !== saying.kind)
    if (other !== undefined) expect(isTrueOf(other, painted(saying, i, 32)), captionOf(other)).toBe(false)
  }
  const circle = { colour: 'red', shape: 'circle' } as const
  const square = { colour: 'blue', shape: 'square' } as const
  const left: Saying = { kind: 'pair', first: circle, relation: 'left of', second: square }
  expect(captionOf(left)).toBe('a red circle left of a blue square')
  expect(isTrueOf({ ...left, relation: 'right of' }, painted(left, 1, 32))).toBe(false)
  expect(isTrueOf({ ...left, first: square, second: circle }, painted(left, 1, 32))).toBe(false)
  expect(isTrueOf({ kind: 'things', count: 1, sort: circle }, painted(left, 1, 32))).toBe(false)
  const three: Saying = { kind: 'things', count: 3, sort: square }
  expect(isTrueOf({ ...three, count: 2 }, painted(three, 1, 32))).toBe(false)
})

test('the first pictures are the same however many there are', async () => {
  const [few, more] = [await loadShapes({ size: 16, count: 20 })(), await loadShapes({ size: 16, count: 40 })()]
  if (E.isLeft(few) || E.isLeft(more)) return expect.unreachable()
  const indices = [0, 7, 19]
  expect(await more.right.read(indices)()).toEqual(await few.right.read(indices)())
  expect(indices.map((i) => more.right.about(i))).toEqual(indices.map((i) => few.right.about(i)))
})
