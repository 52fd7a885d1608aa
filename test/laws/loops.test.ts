import fc from 'fast-check'
import { expect, test } from 'vitest'
import { apply, type Expression, fitting, float, load } from '../../src/execute/onednn/expression.ts'
import { exponential } from '../../src/execute/onednn/functions.ts'
import { loopOf, pointersOf } from '../../src/execute/onednn/loop.ts'
import { moduleText } from '../../src/execute/onednn/loop-text.ts'
import {
  dense,
  type Element,
  elementBytes,
  orderOf,
  permuted,
  reshaped,
  spread,
  type View,
} from '../../src/execute/onednn/view.ts'
import { positions } from '../../src/execute/reference/dense.ts'
import { compileText } from '../../src/execute/tail/machine.ts'
import { bfloatBits, bfloatToFloatBits, floatToHalfBits, halfToFloatBits, mapBits } from '../../src/graph/half.ts'
import { halves, type Shape, size } from '../../src/graph/types.ts'
import { check } from '../arbitrary/check.ts'
import { right } from '../arbitrary/run.ts'

const extents = fc.array(fc.constantFrom(1, 2, 3, 4, 5, 8, 17, 33), { minLength: 1, maxLength: 4 })
const orderFor = (shape: Shape) =>
  fc.shuffledSubarray(
    shape.map((_, i) => i),
    { minLength: shape.length },
  )
const at = (v: View): Int32Array => positions(v.shape, v.strides, v.offset)

const toBits = { float16: floatToHalfBits, bfloat16: bfloatBits }
const fromBits = { float16: halfToFloatBits, bfloat16: bfloatToFloatBits }
/** Numbers as they lie, by their bits. */
const written = (element: Element, of: Float32Array): Uint32Array | Uint16Array => {
  const bits = new Uint32Array(of.buffer, of.byteOffset, of.length)
  return element === 'word' ? bits : mapBits(bits, toBits[element], new Uint16Array(of.length))
}
const seen = (element: Element, bits: Uint32Array | Uint16Array): Float32Array =>
  new Float32Array(
    (element === 'word' ? Uint32Array.from(bits) : mapBits(bits, fromBits[element], new Uint32Array(bits.length)))
      .buffer,
  )

/** Runs a loop over buffers of the given numbers, in parts of its outermost level as threads would. */
const ranOn = async (
  nest: Parameters<typeof loopOf>[0],
  given: readonly Float32Array[],
  elements: readonly Element[],
  parts: number,
) => {
  const loop = loopOf(nest)
  const { text, names } = moduleText([loop])
  const starts = given.map((_, i) => given.slice(0, i).reduce((a, b) => a + b.length + 8, 16))
  const memory = new WebAssembly.Memory({ initial: 40, maximum: 40, shared: true })
  const numbers = new Float32Array(memory.buffer)
  const buffers = given.map(({ length }, i) => {
    const of = elements[i] === 'word' ? Uint32Array : Uint16Array
    return new of(memory.buffer, (starts[i] ?? 0) * 4, length)
  })
  buffers.forEach((b, i) => {
    b.set(written(elements[i] ?? 'word', given[i] ?? new Float32Array()))
  })
  const instance = new WebAssembly.Instance(right(await compileText(text)()), {
    '': { memory },
    lanes: new Proxy({}, { get: () => () => 0 }),
  })
  const f = instance.exports[names[0] ?? '']
  if (typeof f !== 'function') throw new Error('no loop')
  const address = ({ buffer, element, offset }: Pick<View, 'buffer' | 'element' | 'offset'>) =>
    (starts[buffer] ?? 0) * 4 + offset * elementBytes[element]
  const [outer] = loop.levels
  const length = outer?.length ?? 0
  const cuts = outer?.reduced ? [0, length] : [0, Math.floor(length / parts), length]
  cuts.slice(1).forEach((to, i) => void f(cuts[i], to, ...pointersOf(loop).pointers.map(address)))
  return { buffers: buffers.map((b, i) => seen(elements[i] ?? 'word', b)), margins: numbers.slice(0, 16) }
}
/** The same over numbers from -1 to 1, the last buffer's 0. */
const ran = (
  nest: Parameters<typeof loopOf>[0],
  lengths: readonly number[],
  elements: readonly Element[],
  parts: number,
) => {
  const numbers = lengths.map((length, i) =>
    Float32Array.from({ length }, (_, k) => (i === lengths.length - 1 ? 0 : ((k * 37 + i * 11) % 101) / 50 - 1)),
  )
  return ranOn(nest, numbers, elements, parts)
}

const element = fc.constantFrom<Element>('word', 'word', 'bfloat16', 'float16')
/** Two arrays in some order of axes, the second repeated along some; a result in an order of its own. */
const arrays = extents.chain((shape) =>
  fc
    .tuple(
      ...([orderFor(shape), orderFor(shape), orderFor(shape), fc.subarray(shape.map((_, i) => i))] as const),
      fc.tuple(element, element, element),
    )
    .map(([one, two, three, repeats, elements]) => {
      const small = shape.map((d, i) => (repeats.includes(i) ? 1 : d))
      const b = spread(dense(1, small, two, elements[1]), shape)
      return { shape, a: dense(0, shape, one, elements[0]), b, order: three, elements }
    }),
)
const unit = { word: 2 ** -22, bfloat16: 2 ** -8, float16: 2 ** -11 }
const arithmetic = (a: View, b: View): Expression =>
  apply('add', apply('mul', exponential(load(a)), load(b)), apply('sub', float(2), load(b)))
const expected = (x: number, y: number): number => Math.exp(x) * y + (2 - y)

test('a loop computes each element, in any order of axes, and in parts', () =>
  check(
    fc.asyncProperty(arrays, fc.integer({ min: 1, max: 3 }), async ({ shape, a, b, order, elements }, parts) => {
      const into = dense(2, shape, order, elements[2])
      const lengths = [size(shape), size(shape), size(shape)]
      const value = fitting(arithmetic(a, b), elements[2])
      const nest = { shape, values: [{ value, into }], reduced: [], reduction: undefined }
      const { buffers, margins } = await ran(nest, lengths, elements, parts)
      const [pa, pb, po] = [at(a), at(b), at(into)]
      po.forEach((o, i) => {
        const want = expected(buffers[0]?.[pa[i] ?? -1] ?? Number.NaN, buffers[1]?.[pb[i] ?? -1] ?? Number.NaN)
        expect(Math.abs((buffers[2]?.[o] ?? Number.NaN) - want)).toBeLessThan(unit[elements[2]] * Math.abs(want) + 1e-6)
      })
      expect(margins).toEqual(new Float32Array(16))
    }),
    60,
  ))

test.each(['sum', 'max'] as const)('a loop reduces any axes: %s', (reduction) =>
  check(
    fc.asyncProperty(
      arrays.chain((x) => fc.tuple(fc.constant(x), fc.subarray(x.shape.map((_, i) => i)))),
      async ([{ shape, a, b, order, elements }, reduced]) => {
        const kept = shape.map((d, i) => (reduced.includes(i) ? 1 : d))
        const into = dense(2, kept, order)
        const repeated = { ...into, shape, strides: into.strides.map((s, i) => (reduced.includes(i) ? 0 : s)) }
        const values = [{ value: arithmetic(a, b), into: repeated }]
        const lengths = [size(shape), size(shape), size(kept)]
        const lain: readonly Element[] = [elements[0], elements[1], 'word']
        const { buffers } = await ran({ shape, values, reduced, reduction }, lengths, lain, 2)
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

/** Numbers of every kind by their bits: also those that are halfway, subnormal, infinite, and none. */
const anyBits = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    fc
      .tuple(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0, 1, 0x7fff, 0x8000, 0x8001, 0xffff))
      .map(([a, b]) => a * 65_536 + b),
    fc
      .tuple(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0, 1, -1))
      .map(([half, by]) => (halfToFloatBits(half) + by * 0x1000) >>> 0),
  ),
  { minLength: 64, maxLength: 64 },
)
test.each(halves)('a loop rounds to %s and widens as the tables of bits do', (half) =>
  check(
    fc.asyncProperty(anyBits, async (bits) => {
      const numbers = new Float32Array(Uint32Array.from(bits).buffer)
      const shape = [numbers.length]
      const [from, narrow, wide] = [dense(0, shape), dense(1, shape, [0], half), dense(2, shape)]
      const value = apply(half, load(from))
      const values = [
        { value, into: narrow },
        { value, into: wide },
      ]
      const empty = new Float32Array(numbers.length)
      const made = await ranOn(
        { shape, values, reduced: [], reduction: undefined },
        [numbers, empty, empty],
        ['word', half, 'word'],
        1,
      )
      const want = seen(half, written(half, numbers))
      expect(made.buffers[1]).toEqual(want)
      expect(made.buffers[2]).toEqual(want)
      const again = {
        shape,
        values: [{ value: load(dense(0, shape, [0], half)), into: dense(1, shape) }],
        reduced: [],
        reduction: undefined,
      }
      expect((await ranOn(again, [numbers, empty], [half, 'word'], 1)).buffers[1]).toEqual(want)
    }),
    30,
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
