import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { batchesOf, epochOrder, permutation, type Random } from '../../src/data/batches.ts'
import { type Dataset, flipHorizontal, gather, select, split } from '../../src/data/dataset.ts'

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

const dataset: Dataset = {
  about: (i) => ({ name: `n${i}`, bytes: i, sha256: `${i}` }),
  pictures: Float32Array.from({ length: 10 * 6 }, (_, i) => i),
  n: 10,
  channels: 1,
  height: 2,
  width: 3,
  labels: Int32Array.from({ length: 10 }, (_, i) => i % 2),
  classes: ['even', 'odd'],
  captions: range(10).map((i) => `caption ${i}`),
  names: range(10).map((i) => `n${i}`),
  groups: ['a', 'a', 'b', 'c', 'c', 'c', 'd', 'e', 'f', 'g'],
}

describe('datasets', () => {
  it('a split keeps every picture once, whole groups, and everything known about them', () => {
    fc.assert(
      fc.property(seed, fc.nat({ max: 10 }), (s, count) => {
        const { train, heldOut } = split(dataset, count, seeded(s))
        expect([...train.names, ...heldOut.names].sort()).toEqual([...dataset.names].sort())
        expect(heldOut.groups?.some((group) => train.groups?.includes(group))).toBe(false)
        expect(heldOut.n).toBeLessThanOrEqual(count)
        expect(heldOut.n).toBeGreaterThanOrEqual(count - 2)
        for (const part of [train, heldOut])
          part.names.forEach((name, i) => {
            const index = dataset.names.indexOf(name)
            expect(part.captions?.[i]).toBe(dataset.captions?.[index])
            expect(part.labels?.[i]).toBe(dataset.labels?.[index])
            expect(part.about(i).name).toBe(name)
            expect(gather(part, [i])).toEqual(gather(dataset, [index]))
          })
      }),
    )
  })

  it('a split of single pictures holds out exactly as many as asked', () => {
    const { groups: _, ...single } = dataset
    expect(split(single, 4, seeded(1)).heldOut.n).toBe(4)
    expect(select(single, [3, 1]).names).toEqual(['n3', 'n1'])
  })

  it('flips mirror the rows of the flagged pictures, and undo themselves', () => {
    const flips = range(10).map((i) => i === 1)
    const flipped = flipHorizontal(dataset.pictures, 3, flips)
    expect([...flipped.subarray(0, 12)]).toEqual([0, 1, 2, 3, 4, 5, 8, 7, 6, 11, 10, 9])
    expect(flipped.subarray(12)).toEqual(dataset.pictures.subarray(12))
    expect(flipHorizontal(flipped, 3, flips)).toEqual(dataset.pictures)
  })
})
