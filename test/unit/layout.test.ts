import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { between, inverse, isIdentity, orders, permuted, range, renamed, reordered } from '../../src/execute/layout.ts'
import { size, strides } from '../../src/graph/types.ts'
import { check } from '../arbitrary/check.ts'

const arbitrary = fc.integer({ min: 1, max: 4 }).chain((rank) => {
  const order = fc.shuffledSubarray([...range(rank)], { minLength: rank, maxLength: rank })
  const shape = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: rank, maxLength: rank })
  return fc.tuple(shape, order, order, order)
})
const numbers = (length: number) => Float32Array.from({ length }, (_, i) => i)

describe('orders of axes', () => {
  test('an array comes back as it went, whatever lies between', () =>
    check(
      fc.asyncProperty(arbitrary, async ([shape, a, b]) => {
        const given = numbers(size(shape))
        const [there, on] = [reordered(shape, given, [a, b]), reordered(shape, reordered(shape, given, [a, b]), [b, a])]
        expect(on).toEqual(given)
        expect(there.length).toBe(given.length)
      }),
    ))
  test('each element stands where its axes say', () =>
    check(
      fc.asyncProperty(arbitrary, async ([shape, order]) => {
        const lying = reordered(shape, numbers(size(shape)), [range(shape.length), order])
        const [own, steps] = [strides(shape), permuted(strides(permuted(shape, order)), inverse(order))]
        const at = (index: readonly number[], along: readonly number[]) =>
          index.reduce((sum, i, axis) => sum + i * (along[axis] ?? 0), 0)
        const last = shape.map((d) => d - 1)
        for (const index of [shape.map(() => 0), last, last.map((d, i) => (i % 2 === 0 ? d : 0))])
          expect(lying[at(index, steps)]).toBe(at(index, own))
      }),
    ))
  test('a transposition from one to another, and axes named anew', () =>
    check(
      fc.asyncProperty(arbitrary, async ([, a, b, p]) => {
        expect(permuted(a, between(a, b))).toEqual(b)
        expect(isIdentity(renamed(p, p))).toBe(true)
        expect(inverse(inverse(p))).toEqual(p)
      }),
    ))
  test('known by name: where pictures and weights have their channels', () => {
    expect(permuted(['n', 'c', 'h', 'w'], orders.nhwc).join('')).toBe('nhwc')
    expect(permuted(['o', 'i', 'h', 'w'], orders.hwio).join('')).toBe('hwio')
    expect(permuted(['o', 'i', 'h', 'w'], orders.hwoi).join('')).toBe('hwoi')
  })
})
