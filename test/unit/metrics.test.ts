import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Pictures, ssim, ssims } from '../../src/metrics/ssim.ts'

const pictures = (n: number, shape: readonly number[], of: (i: number) => number): Pictures => ({
  n,
  shape,
  data: Float32Array.from({ length: n * shape.reduce((a, b) => a * b, 1) }, (_, i) => of(i)),
})
const wave = (i: number): number => Math.sin(0.37 * i) * Math.cos(0.011 * i)
const other = (i: number): number => 0.8 * Math.sin(0.37 * i + 0.4) * Math.cos(0.011 * i)

describe('SSIM', () => {
  it("is scikit-image's, with gaussian_weights, sigma 1.5, use_sample_covariance False, data_range 1, channel by channel", () => {
    const shape = [3, 16, 20]
    expect(ssims(pictures(2, shape, wave), pictures(2, shape, other))).toEqual([
      expect.closeTo(0.8990524770831883, 12),
      expect.closeTo(0.8972465563169209, 12),
    ])
  })
  it('is 1 of equal pictures, the same both ways, and less of others', () => {
    const picture = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 2 * 144, maxLength: 2 * 144 })
    fc.assert(
      fc.property(picture, picture, (a, b) => {
        const [x, y] = [a, b].map((v) => pictures(1, [2, 12, 12], (i) => v[i] ?? 0))
        if (x === undefined || y === undefined) return
        expect(ssim(x, x)).toBeCloseTo(1, 12)
        expect(ssim(x, y)).toBeCloseTo(ssim(y, x), 12)
        expect(ssim(x, y)).toBeLessThanOrEqual(1)
      }),
      { numRuns: 30 },
    )
  })
  it('of flat pictures is that of their luminances; values outside of the range are clamped; small pictures have a smaller window', () => {
    const flat = (x: number, side: number) => pictures(1, [1, side, side], () => x)
    const wanted = (2 * 0.25 * 1 + 1e-4) / (0.25 ** 2 + 1 + 1e-4)
    for (const side of [8, 11, 32]) expect(ssim(flat(-0.5, side), flat(7, side))).toBeCloseTo(wanted, 10)
  })
})
