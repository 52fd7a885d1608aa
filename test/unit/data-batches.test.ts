import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { batchesOf, epochOrder, permutation, type Random } from '../../src/data/batches.ts'
import { type Dataset, flipHorizontal, heldOutOf, select, split } from '../../src/data/dataset.ts'
import { colours, held } from '../../src/data/held.ts'
import { right } from '../arbitrary/run.ts'

const seeded =
  (seed: number): Random =>
  (counter) =>
    createHash('sha256').update(`${seed}/${counter}`).digest().readUInt32LE(0)

const seed = fc.nat()
const sorted = (a: Iterable<number>) => [...a].sort((x, y) => x - y)
const range = (n: number) => Array.from({ length: n }, (_, i) => i)

describe('batches', () => {
  it('an epoch visits every picture once', () => {
    fc.assert(
      fc.property(seed, fc.nat({ max: 40 }), fc.nat({ max: 9 }), (s, n, epoch) => {
        expect(sorted(epochOrder(n, epoch, seeded(s)))).toEqual(range(n))
      }),
    )
  })

  it('batches put together are the epochs put together, whatever the order they are asked in', () => {
    fc.assert(
      fc.property(seed, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 30 }), (s, n, size) => {
        const steps = Math.ceil((3 * n) / size)
        const forwards = batchesOf(n, size, seeded(s))
        const all = range(steps).flatMap((step) => [...forwards(step)])
        expect(all.slice(0, 3 * n)).toEqual(range(3).flatMap((epoch) => [...epochOrder(n, epoch, seeded(s))]))
        const resumed = batchesOf(n, size, seeded(s))
        const backwards = range(steps)
          .reverse()
          .map((step) => [...resumed(step)])
        expect(backwards.reverse().flat()).toEqual(all)
      }),
    )
  })

  it('every order is as likely as every other', () => {
    const counts = new Map<string, number>()
    for (let s = 0; s < 6000; s++) {
      const order = permutation(3, seeded(s)).join()
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    expect(counts.size).toBe(6)
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
    expect(chiSquare).toBeLessThan(20.5)
  })

  it('epochs and seeds differ', () => {
    const orders = [0, 1].flatMap((s) => [0, 1].map((epoch) => epochOrder(20, epoch, seeded(s)).join()))
    expect(new Set(orders).size).toBe(4)
  })
})

const groups = ['a', 'a', 'b', 'c', 'c', 'c', 'd', 'e', 'f', 'g']
const [height, width] = [2, 3]
const grey = (i: number, pixel: number): number => (60 * i + pixel) % 256
const of = (groupOf: (i: number) => string | undefined): Dataset =>
  held({
    encoding: colours,
    height,
    width,
    classes: ['even', 'odd'],
    notes: ['a note'],
    pictures: Uint8Array.from({ length: 10 * 18 }, (_, at) => grey(Math.floor(at / 18), at % 18)),
    coverage: Uint8Array.from({ length: 10 * 6 }, (_, at) => (at < 6 ? 51 : 255)),
    about: range(10).map((i) => {
      const group = groupOf(i)
      return {
        name: `n${i}`,
        class: i % 2 === 0 ? 'even' : 'odd',
        caption: `caption ${i}`,
        bytes: i,
        sha256: `${i}`,
        ...(group === undefined ? {} : { group }),
      }
    }),
  })
const dataset = of((i) => groups[i])
const namesOf = ({ n, about }: Dataset): readonly string[] => range(n).map((i) => about(i).name)
const groupsOf = ({ n, about }: Dataset): readonly (string | undefined)[] => range(n).map((i) => about(i).group)

describe('datasets', () => {
  it('are bytes, and a batch at a time becomes numbers', async () => {
    const { pictures, labels, coverage } = right(await dataset.read([4, 0])())
    const floats = (i: number) => range(18).map((pixel) => Math.fround(grey(i, pixel) / 127.5 - 1))
    expect([...pictures]).toEqual([...floats(4), ...floats(0)])
    expect(labels).toEqual(Int32Array.of(0, 0))
    expect([...(coverage ?? [])]).toEqual([...range(6).map(() => 1), ...range(6).map(() => Math.fround(0.2))])
  })

  it('a split keeps every picture once, whole groups, and everything known about them', async () => {
    await fc.assert(
      fc.asyncProperty(seed, fc.integer({ min: 1, max: 9 }), async (s, count) => {
        const { train, heldOut, torn } = split(dataset, count, seeded(s))
        expect(torn).toBe(false)
        expect([...namesOf(train), ...namesOf(heldOut)].sort()).toEqual([...namesOf(dataset)].sort())
        expect(groupsOf(heldOut).filter((group) => groupsOf(train).includes(group))).toEqual([])
        expect(heldOut.n).toBeLessThanOrEqual(count)
        expect(heldOut.n).toBeGreaterThanOrEqual(count - 2)
        for (const part of [train, heldOut])
          for (const i of range(part.n)) {
            const index = namesOf(dataset).indexOf(part.about(i).name)
            expect(part.about(i)).toEqual(dataset.about(index))
            expect(await part.read([i])()).toEqual(await dataset.read([index])())
          }
      }),
      { numRuns: 20 },
    )
  })

  it('a split of single pictures holds out exactly as many as asked', () => {
    const single = of(() => undefined)
    expect(split(single, 4, seeded(1)).heldOut.n).toBe(4)
    expect(namesOf(select(single, [3, 1]))).toEqual(['n3', 'n1'])
    expect(namesOf(select(select(single, [3, 1, 7]), [2, 0]))).toEqual(['n7', 'n3'])
  })

  it('groups that are too large to be held out are parted, and that is told', () => {
    const { heldOut, train, torn } = split(
      of(() => 'all'),
      3,
      seeded(2),
    )
    expect([heldOut.n, train.n, torn]).toEqual([3, 7, true])
  })

  it.each([
    [2, 1],
    [9, 1],
    [60, 6],
    [999, 99],
    [1636, 100],
    [20_000, 100],
  ])('of %i pictures %i are held out where nobody says how many', (n, held) => expect(heldOutOf(n)).toBe(held))

  it('flips mirror the rows of the flagged pictures, and undo themselves', () => {
    const pictures = Float32Array.from({ length: 10 * 6 }, (_, i) => i)
    const flips = range(10).map((i) => i === 1)
    const flipped = flipHorizontal(pictures, 3, flips)
    expect([...flipped.subarray(0, 12)]).toEqual([0, 1, 2, 3, 4, 5, 8, 7, 6, 11, 10, 9])
    expect(flipped.subarray(12)).toEqual(pictures.subarray(12))
    expect(flipHorizontal(flipped, 3, flips)).toEqual(pictures)
  })
})
