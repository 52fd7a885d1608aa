import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { colorize } from '../../src/train/colorize.ts'

const shape = { n: 2, channels: 5, height: 3, width: 2 }
const size = shape.n * shape.channels * shape.height * shape.width
const values = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: size, maxLength: size })

describe('colorize', () => {
  it('law: fills [-1, 1] to both ends, whatever scale the values have', () => {
    fc.assert(
      fc.property(values, fc.nat(), (xs, seed) => {
        const pictures = Float32Array.from(xs)
        const shown = colorize(seed)(pictures, shape)
        expect(shown).toHaveLength(shape.n * 3 * shape.height * shape.width)
        const constant = shown.every((x) => x === 0)
        if (!constant) expect([Math.min(...shown), Math.max(...shown)]).toEqual([-1, 1])
        const scaled = colorize(seed)(
          pictures.map((x) => 4 * x),
          shape,
        )
        shown.forEach((x, i) => {
          expect(scaled[i]).toBeCloseTo(x, 5)
        })
      }),
      { numRuns: 50 },
    )
  })

  it('is a projection of each pixel by itself, the same for every call of a seed', () => {
    const pictures = Float32Array.from({ length: size }, (_, i) => Math.sin(i))
    const shown = colorize(3)(pictures, shape)
    expect(colorize(3)(pictures, shape)).toEqual(shown)
    expect(colorize(4)(pictures, shape)).not.toEqual(shown)
    const swapped = pictures.slice()
    for (let c = 0; c < shape.channels; c++) {
      swapped[c * 6] = pictures[c * 6 + 5] ?? 0
      swapped[c * 6 + 5] = pictures[c * 6] ?? 0
    }
    const other = colorize(3)(swapped, shape)
    for (let c = 0; c < 3; c++) expect([other[c * 6], other[c * 6 + 5]]).toEqual([shown[c * 6 + 5], shown[c * 6]])
    expect(other.subarray(18)).toEqual(shown.subarray(18))
  })

  it('shows what is constant as grey, where the reference divides by 0', () => {
    const empty = colorize(0)(new Float32Array(size), shape)
    expect(empty.every((x) => x === 0)).toBe(true)
    const one = { n: 1, channels: 4, height: 1, width: 1 }
    expect(colorize(0)(Float32Array.of(1, 2, 3, 4), one).every(Number.isFinite)).toBe(true)
  })

  it('leaves what is not finite visible, and scales the rest', () => {
    const pictures = Float32Array.from({ length: size }, (_, i) => Math.sin(i))
    pictures[0] = Number.NaN
    pictures[1] = Number.POSITIVE_INFINITY
    const shown = colorize(0)(pictures, shape)
    const lost = [...shown].flatMap((x, i) => (Number.isNaN(x) ? [i] : []))
    expect(lost).toEqual([0, 1, 6, 7, 12, 13])
    const rest = shown.filter(Number.isFinite)
    expect([Math.min(...rest), Math.max(...rest)]).toEqual([-1, 1])
  })
})
