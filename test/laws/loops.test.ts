import fc from 'fast-check'
import { expect, test } from 'vitest'
import { apply, type Expression, float, load } from '../../src/execute/onednn/expression.ts'
import { exponential } from '../../src/execute/onednn/functions.ts'
import { loopOf, pointersOf } from '../../src/execute/onednn/loop.ts'
import { moduleText } from '../../src/execute/onednn/loop-text.ts'
import { dense, orderOf, permuted, reshaped, spread, type View } from '../../src/execute/onednn/view.ts'
import { positions } from '../../src/execute/reference/dense.ts'
import { compileText } from '../../src/execute/tail/machine.ts'
import { type Shape, size } from '../../src/graph/types.ts'
import { check } from '../arbitrary/check.ts'
import { right } from '../arbitrary/run.ts'

const extents = fc.array(fc.constantFrom(1, 2, 3, 4, 5, 8, 17, 33), { minLength: 1, maxLength: 4 })
const orderFor = (shape: Shape) =>
  fc.shuffledSubarray(
    shape.map((_, i) => i),
    { minLength: shape.length },
  )
const at = (v: View): Int32Array => positions(v.shape, v.strides, v.offset)

/** Runs a loop over buffers of numbers from 0 on, in parts of its outermost level as threads would. */
const ran = async (nest: Parameters<typeof loopOf>[0], lengths: readonly number[], parts: number) => {
  const loop = loopOf(nest)
  const { text, names } = moduleText([loop])
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b + 8, 16))
  const memory = new WebAssembly.Memory({ initial: 40, maximum: 40, shared: true })
  const numbers = new Float32Array(memory.buffer)
  const buffers = lengths.map((length, i) => numbers.subarray(starts[i], (starts[i] ?? 0) + length))
  buffers.slice(0, -1).forEach((b, i) => {
    for (let k = 0; k < b.length; k++) b[k] = ((k * 37 + i * 11) % 101) / 50 - 1
  })
  const instance = new WebAssembly.Instance(right(await compileText(text)()), {
    '': { memory },
    lanes: new Proxy({}, { get: () => () => 0 }),
  })
  const f = instance.exports[names[0] ?? '']
  if (typeof f !== 'function') throw new Error('no loop')
  const address = ({ buffer, offset }: { readonly buffer: number; readonly offset: number }) =>
    ((starts[buffer] ?? 0) + offset) * 4
  const [outer] = loop.levels
  const length = outer?.length ?? 0
  const cuts = outer?.reduced ? [0, length] : [0, Math.floor(length / parts), length]
  cuts.slice(1).forEach((to, i) => void f(cuts[i], to, ...pointersOf(loop).pointers.map(address)))
  return { buffers, margins: numbers.slice(0, 16) }
}

/** Two arrays in some order of axes, the second repeated along some; a result in an order of its own. */
const arrays = extents.chain((shape) =>
  fc
    .tuple(orderFor(shape), orderFor(shape), orderFor(shape), fc.subarray(shape.map((_, i) => i)))
    .map(([one, two, three, repeats]) => {
      const small = shape.map((d, i) => (repeats.includes(i) ? 1 : d))
      return { shape, a: dense(0, shape, one), b: spread(dense(1, small, two), shape), order: three }
    }),
)
const arithmetic = (a: View, b: View): Expression =>
  apply('add', apply('mul', exponential(load(a)), load(b)), apply('sub', float(2), load(b)))
const expected = (x: number, y: number): number => Math.exp(x) * y + (2 - y)

test('a loop computes each element, in any order of axes, and in parts', () =>
  check(
    fc.asyncProperty(arrays, fc.integer({ min: 1, max: 3 }), async ({ shape, a, b, order }, parts) => {
      const into = dense(2, shape, order)
      const lengths = [size(shape), size(shape), size(shape)]
      const nest = { shape, values: [{ value: arithmetic(a, b), into }], reduced: [], reduction: undefined }
      const { buffers, margins } = await ran(nest, lengths, parts)
      const [pa, pb, po] = [at(a), at(b), at(into)]
      po.forEach((o, i) => {
        const want = expected(buffers[0]?.[pa[i] ?? -1] ?? Number.NaN, buffers[1]?.[pb[i] ?? -1] ?? Number.NaN)
        expect(buffers[2]?.[o]).toBeCloseTo(want, 4)
      })
      expect(margins).toEqual(new Float32Array(16))
    }),
    60,
  ))

test.each(['sum', 'max'] as const)('a loop reduces any axes: %s', (reduction) =>
  check(
    fc.asyncProperty(
      arrays.chain((x) => fc.tuple(fc.constant(x), fc.subarray(x.shape.map((_, i) => i)))),
      async ([{ shape, a, b, order }, reduced]) => {
        const kept = shape.map((d, i) => (reduced.includes(i) ? 1 : d))
        const into = dense(2, kept, order)
        const repeated = { ...into, shape, strides: into.strides.map((s, i) => (reduced.includes(i) ? 0 : s)) }
        const values = [{ value: arithmetic(a, b), into: repeated }]
        const lengths = [size(shape), size(shape), size(kept)]
        const { buffers } = await ran({ shape, values, reduced, reduction }, lengths, 2)
        const want = new Map<number, number>()
        const [pa, pb, po] = [at(a), at(b), at(repeated)]
        po.forEach((o, i) => {
          const x = expected(buffers[0]?.[pa[i] ?? -1] ?? Number.NaN, buffers[1]?.[pb[i] ?? -1] ?? Number.NaN)
          const before = want.get(o)
          want.set(o, before === undefined ? x : reduction === 'sum' ? before + x : Math.max(before, x))
        })
        const scale = 1e-6 * size(shape) + 1e-5
        for (const [o, x] of want) expect(Math.abs((buffers[2]?.[o] ?? Number.NaN) - x)).toBeLessThan(scale)
      },
    ),
    60,
  ),
)

test('a view under another shape sees the same elements in the same order', () =>
  check(
    fc.asyncProperty(
      extents.chain((s) => fc.tuple(fc.constant(s), orderFor(s))),
      async ([shape, order]) => {
        const v = permuted(dense(0, shape), order)
        for (const other of [
          [size(shape)],
          [...v.shape, 1],
          v.shape.flatMap((d) => (d % 2 === 0 ? [2, d / 2] : [d])),
        ]) {
          const seen = reshaped(v, other)
          if (seen !== undefined) expect(at(seen)).toEqual(at(v))
        }
        expect(reshaped(dense(0, shape), [size(shape)])).toBeDefined()
        expect(dense(0, v.shape, orderOf(v)).strides.map((s, i) => (v.shape[i] === 1 ? 0 : s))).toEqual(
          v.strides.map((s, i) => (v.shape[i] === 1 ? 0 : s)),
        )
      },
    ),
    200,
  ))
