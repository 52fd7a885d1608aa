import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { halfArithmetic } from '../../src/execute/half-arithmetic.ts'
import {
  bfloatBits,
  bfloatToFloatBits,
  floatToHalfBits,
  fromHalfBits,
  halfBits,
  halfToFloatBits,
  roundToHalf,
} from '../../src/graph/half.ts'

const allBits = Array.from({ length: 2 ** 16 }, (_, bits) => bits)
/** 0 and up to infinity, by their bits; infinity stands for 65536, where the next number would be. */
const positive = allBits.slice(0, 0x7c01).map((bits) => (bits === 0x7c00 ? 65536 : fromHalfBits(bits)))

test('docs/executors.md says of every executor what it makes of half precision', async () => {
  const text = await readFile('docs/executors.md', 'utf8')
  const section = text.split('## Half precision')[1]?.split('\n## ')[0] ?? ''
  const lines = section.split('\n').filter((line) => line.startsWith('| `'))
  const said = lines.flatMap((line) => {
    const [names = '', ...cells] = line.split(' | ')
    const words = cells.map((cell) => /^by processor|^\w+/.exec(cell)?.[0])
    return [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => [name, ...words])
  })
  const known = Object.entries(halfArithmetic).filter(([name]) => name !== 'onnx')
  expect([...said].sort()).toEqual(known.map(([name, { float16, bfloat16 }]) => [name, float16, bfloat16]).sort())
})

describe('half precision', () => {
  test('the numbers that the standard names', () => {
    const named: readonly (readonly [number, number])[] = [
      [0x0000, 0],
      [0x8000, -0],
      [0x0001, 2 ** -24],
      [0x03ff, 1023 * 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3555, 0.333251953125],
      [0x3bff, 1 - 2 ** -11],
      [0x3c00, 1],
      [0x3c01, 1 + 2 ** -10],
      [0xc000, -2],
      [0x7bff, 65504],
      [0x7c00, Number.POSITIVE_INFINITY],
      [0xfc00, Number.NEGATIVE_INFINITY],
    ]
    for (const [bits, number] of named) {
      expect(fromHalfBits(bits)).toBe(number)
      expect(halfBits(number)).toBe(bits)
    }
  })

  test('all 65536 come through as they are, and grow with their bits', () => {
    for (const bits of allBits) {
      const number = fromHalfBits(bits)
      if (Number.isNaN(number)) {
        expect(halfBits(number)).toBe(0x7e00)
        expect(roundToHalf(number)).toBeNaN()
      } else if (halfBits(number) !== bits || !Object.is(roundToHalf(number), number))
        expect(bits).toBe(halfBits(number))
    }
    expect(allBits.filter((bits) => Number.isNaN(fromHalfBits(bits)))).toHaveLength(2 * 1023)
    expect(positive.every((x, i) => i === 0 || x > (positive[i - 1] ?? x))).toBe(true)
  })

  test('between two neighbours the nearer is taken, half-way the even one, all 31744 times and both signs', () => {
    const wrong = positive.slice(0, -1).filter((low, bits) => {
      const high = positive[bits + 1] ?? Number.NaN
      const middle = (low + high) / 2
      const [below, above] = [middle - (high - low) / 2 ** 30, middle + (high - low) / 2 ** 30]
      const even = bits % 2 === 0 ? bits : bits + 1
      return (
        halfBits(below) !== bits ||
        halfBits(middle) !== even ||
        halfBits(above) !== bits + 1 ||
        halfBits(-below) !== (bits | 0x8000) ||
        halfBits(-middle) !== (even | 0x8000) ||
        halfBits(-above) !== ((bits + 1) | 0x8000) ||
        roundToHalf(middle) !== fromHalfBits(even)
      )
    })
    expect(wrong).toEqual([])
  })

  test('beyond them is infinity, below them zero', () => {
    for (const x of [65520, 1e5, 2 ** 53, 1e300]) expect(roundToHalf(x)).toBe(Number.POSITIVE_INFINITY)
    for (const x of [2 ** -25, 1e-9, 5e-324]) {
      expect(roundToHalf(x)).toBe(0)
      expect(roundToHalf(-x)).toBe(-0)
    }
  })

  test('rounding moves a number by at most 2^-11 of itself, or 2^-25', () => {
    fc.assert(
      fc.property(fc.double({ min: -65504, max: 65504, noNaN: true }), (x) => {
        expect(Math.abs(roundToHalf(x) - x)).toBeLessThanOrEqual(Math.max(Math.abs(x) * 2 ** -11, 2 ** -25))
      }),
    )
  })

  test('by the bits of single precision it is the same', () => {
    const bitsOf = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0] ?? 0
    for (const bits of allBits) {
      const number = fromHalfBits(bits)
      if (!Number.isNaN(number)) expect(new Float32Array(Uint32Array.of(halfToFloatBits(bits)).buffer)[0]).toBe(number)
    }
    fc.assert(
      fc.property(
        fc.oneof(
          fc.float({ noNaN: true }),
          fc.float({ min: -70000, max: 70000, noNaN: true }),
          fc.float({ min: -(2 ** -13), max: 2 ** -13, noNaN: true }),
        ),
        (x) => {
          expect(floatToHalfBits(bitsOf(x))).toBe(halfBits(x))
        },
      ),
    )
    for (const x of [
      65519.996,
      65520,
      2 ** -25,
      2 ** -25 * 1.0000001,
      3 * 2 ** -25,
      2 ** -14,
      Number.NaN,
      -0,
      Infinity,
    ])
      expect(floatToHalfBits(bitsOf(x))).toBe(halfBits(Math.fround(x)))
  })
})

describe('bfloat16', () => {
  const numberOf = (bits: number): number => new Float32Array(Uint32Array.of(bfloatToFloatBits(bits)).buffer)[0] ?? 0
  const bitsOf = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0] ?? 0
  test('all come through as they are', () => {
    for (const bits of allBits) {
      const x = numberOf(bits)
      if (Number.isNaN(x)) expect(numberOf(bfloatBits(bfloatToFloatBits(bits)))).toBeNaN()
      else expect(bfloatBits(bitsOf(x))).toBe(bits)
    }
  })
  test('numbers between two go to the nearer, of two as near to the even one', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7f7e }), fc.integer({ min: 0, max: 0xffff }), (low, rest) => {
        const expected = rest > 0x8000 || (rest === 0x8000 && low % 2 === 1) ? low + 1 : low
        expect(bfloatBits(low * 0x10000 + rest)).toBe(expected)
        expect(bfloatBits((low * 0x10000 + rest) | 0x80000000)).toBe(expected | 0x8000)
      }),
    )
    expect(numberOf(bfloatBits(0x7f7fffff))).toBe(Infinity)
    expect(numberOf(bfloatBits(0x7f800001))).toBeNaN()
  })
})
