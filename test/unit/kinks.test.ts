import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { grad, vjp } from '../../src/transform/index.ts'
import { check } from '../arbitrary/check.ts'
import { evaluate } from '../arbitrary/run.ts'

/** docs/decisions/0001: the gradients where there is no derivative, which generated cases keep away from. */

const [x, y] = [D.input('x', float(5)), D.input('y', float(5))]
const feeds = { x: floats([5], Float64Array.of(-1, 0, 0, 1, 2)), y: floats([5], Float64Array.of(-1, -1, 1, 2, 0)) }
/** d sum (k + 1) f_k, at each element of the given leaves. */
const slopes = async (f: D.Tensor, ...wrt: readonly D.Tensor[]): Promise<readonly (readonly number[])[]> => {
  const weighed = pipe(f, D.mul(D.vector([1, 2, 3, 4, 5])), D.sum())
  const found = await evaluate(Object.fromEntries(grad(weighed, wrt).map((dx, i) => [`d${i}`, dx])), feeds)
  return wrt.map((_, i) => Array.from(found[`d${i}`]?.data ?? [], (v) => v + 0))
}

describe('at a tie', () => {
  test('maximum and minimum give all to the second operand', async () => {
    expect(await slopes(pipe(x, D.maximum(y)), x, y)).toEqual([
      [0, 2, 0, 0, 5],
      [1, 0, 3, 4, 0],
    ])
    expect(await slopes(pipe(x, D.minimum(y)), x, y)).toEqual([
      [0, 0, 3, 4, 0],
      [1, 2, 0, 0, 5],
    ])
  })
  test('ReLU has slope 0, below 0 as at 0, and a maximum with another number gives the tie away too', async () => {
    expect(await slopes(D.relu(x), x)).toEqual([[0, 0, 0, 4, 5]])
    expect(await slopes(pipe(x, D.maximum(1)), x)).toEqual([[0, 0, 0, 0, 5]])
    expect(await slopes(pipe(x, D.minimum(0)), x)).toEqual([[1, 0, 0, 0, 0]])
    expect(await slopes(pipe(x, D.minimum(1)), x)).toEqual([[1, 2, 3, 0, 0]])
  })
  test('softplus, whose two terms both have a kink at 0, has slope 1/2 there', async () => {
    const [found = []] = await slopes(D.softplus(x), x)
    expect(found[1]).toBeCloseTo(2 / 2, 12)
    expect(found[2]).toBeCloseTo(3 / 2, 12)
  })
  test('leaky ReLU has slope 1 at 0, clamp 1 on its bounds, abs and sign 0', async () => {
    expect(await slopes(D.leakyRelu(0.5)(x), x)).toEqual([[0.5, 2, 3, 4, 5]])
    expect(await slopes(D.clamp(0, 1)(x), x)).toEqual([[0, 2, 3, 4, 0]])
    expect(await slopes(D.abs(x), x)).toEqual([[-1, 0, 0, 4, 5]])
    expect(await slopes(D.sign(x), x)).toEqual([[0, 0, 0, 0, 0]])
  })
})

/** Whole numbers between few bounds: equal ones meet in most windows. */
const few = (length: number) => fc.array(fc.integer({ min: 0, max: 2 }), { minLength: length, maxLength: length })
const cotangents = (length: number) =>
  fc.array(fc.integer({ min: -8, max: 8 }), { minLength: length, maxLength: length })
/** The cotangent of each group's maximum, in equal parts to the elements that are it. */
const shared = (data: readonly number[], groupOf: (i: number) => number, dy: readonly number[]): readonly number[] => {
  const peers = data.map((_, i) => data.flatMap((v, j) => (groupOf(j) === groupOf(i) ? [v] : [])))
  return data.map((v, i) => {
    const winners = (peers[i] ?? []).filter((p) => p === Math.max(...(peers[i] ?? [])))
    return winners.includes(v) ? (dy[groupOf(i)] ?? Number.NaN) / winners.length : 0
  })
}
const agree = async (
  f: (x: D.Tensor) => D.Tensor,
  shape: readonly number[],
  data: readonly number[],
  dy: readonly number[],
  expected: readonly number[],
): Promise<void> => {
  const leaf = D.input('x', float(...shape))
  const out = f(leaf)
  const [dx = leaf] = vjp([[out, D.constant(dy, out.type)]], [leaf])
  const found = await evaluate({ dx }, { x: floats(shape, Float64Array.from(data)) })
  Array.from(found.dx?.data ?? []).forEach((v, i) => {
    expect(v).toBeCloseTo(expected[i] ?? Number.NaN, 12)
  })
  expect(found.dx?.data.length).toBe(expected.length)
}

describe('law: equal maxima share the cotangent evenly', () => {
  test.each([true, false])('of reduceMax, axes kept: %s', (keepDims) =>
    check(
      fc.asyncProperty(few(12), cotangents(4), (data, dy) =>
        agree(
          D.reduceMax({ axes: [1], keepDims }),
          [2, 3, 2],
          data,
          dy,
          shared(data, (i) => Math.floor(i / 6) * 2 + (i % 2), dy),
        ),
      ),
    ),
  )
  test('of maxPool', () =>
    check(
      fc.asyncProperty(few(24), cotangents(4), (data, dy) =>
        agree(
          D.maxPool(2, 3),
          [1, 1, 4, 6],
          data,
          dy,
          shared(data, (i) => Math.floor(i / 12) * 2 + (Math.floor(i / 3) % 2), dy),
        ),
      ),
    ))
})

describe('the cotangent of a cast', () => {
  test.each([
    ['float16', 'float32'],
    ['float32', 'float16'],
    ['float32', 'float32'],
  ] as const)('from %s to %s has the type of what was cast', async (from, to) => {
    const leaf = D.input('x', { dtype: from, shape: [3] })
    const out = pipe(leaf, D.cast(to), D.mul(D.cast(to)(D.vector([1, 2, 0.5]))))
    const [dx = leaf] = vjp([[out, D.cast(to)(D.vector([1, -1, 2]))]], [leaf])
    expect(dx.type).toEqual(leaf.type)
    const found = await evaluate({ dx }, { x: { dtype: from, shape: [3], data: Float64Array.of(1, 2, 3) } })
    expect(found.dx).toMatchObject({ dtype: from, shape: [3] })
    expect(Array.from(found.dx?.data ?? [])).toEqual([1, -2, 1])
  })
  test('to whole numbers is none', async () => {
    const [dx = x] = grad(pipe(x, D.cast('int32'), D.cast('float32'), D.mul(3), D.sum()), [x])
    expect(Array.from((await evaluate({ dx }, {})).dx?.data ?? [])).toEqual([0, 0, 0, 0, 0])
  })
})
