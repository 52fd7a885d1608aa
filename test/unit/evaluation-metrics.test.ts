import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  frechet,
  frechetOfSpreads,
  kernelDistance,
  nearest,
  type Points,
  precisionRecall,
  spreadOf,
  spreadOfGaussian,
} from '../../src/metrics/index.ts'

const pointsOf = (rows: readonly (readonly number[])[]): Points => ({
  n: rows.length,
  dim: rows[0]?.length ?? 0,
  data: Float64Array.from(rows.flat()),
})
const wave = (n: number, dim: number, f: number, g: number, shift: number): Points =>
  pointsOf(
    Array.from({ length: n }, (_, i) =>
      Array.from({ length: dim }, (_r, k) => Math.sin(f * (i + 1) * (k + 1)) + g * k * Math.cos(0.3 * i) + shift),
    ),
  )
const [a, b] = [wave(12, 5, 0.37, 0.1, 0), wave(9, 5, 0.53, 0.2, 0.25)]
const rows = ({ n, dim, data }: Points): readonly (readonly number[])[] =>
  Array.from({ length: n }, (_, i) => Array.from(data.subarray(i * dim, (i + 1) * dim)))

const number = fc.double({ min: -3, max: 3, noNaN: true })
const some = (dim: number, least: number): fc.Arbitrary<Points> =>
  fc.array(fc.array(number, { minLength: dim, maxLength: dim }), { minLength: least, maxLength: 12 }).map(pointsOf)

/** Reflected in the plane that is normal to v. */
const reflected = (v: readonly number[], points: Points): Points => {
  const square = v.reduce((sum, x) => sum + x * x, 0)
  return pointsOf(
    rows(points).map((row) => {
      const along = (2 * row.reduce((sum, x, k) => sum + x * (v[k] ?? 0), 0)) / square
      return row.map((x, k) => x - along * (v[k] ?? 0))
    }),
  )
}

describe('Frechet distance', () => {
  it('is that of NumPy and SciPy (sqrtm; svd), also of fewer points than dimensions', () => {
    expect(frechet(a, b)).toBeCloseTo(0.7377621672269052, 10)
    expect(frechet(pointsOf(rows(a).slice(0, 4)), b)).toBeCloseTo(2.521535753601529, 7)
  })
  it('of Gaussians whose covariances commute is |m - n|^2 + sum (sqrt s - sqrt t)^2', () => {
    const variance = fc.double({ min: 0, max: 4, noNaN: true })
    const gaussian = fc.record({
      mean: fc.array(number, { minLength: 3, maxLength: 3 }),
      variances: fc.array(variance, { minLength: 3, maxLength: 3 }),
    })
    const spread = ({ mean, variances }: { mean: readonly number[]; variances: readonly number[] }) =>
      spreadOfGaussian(
        mean,
        variances.flatMap((v, i) => variances.map((_, k) => (i === k ? v : 0))),
      )
    fc.assert(
      fc.property(gaussian, gaussian, (p, q) => {
        const shift = p.mean.reduce((sum, m, k) => sum + (m - (q.mean[k] ?? 0)) ** 2, 0)
        const stretch = p.variances.reduce((sum, s, k) => sum + (Math.sqrt(s) - Math.sqrt(q.variances[k] ?? 0)) ** 2, 0)
        expect(frechetOfSpreads(spread(p), spread(q))).toBeCloseTo(shift + stretch, 6)
      }),
    )
  })
  it('of points is that of the Gaussian with their mean and covariance', () => {
    const cov = [0.5, 0.2, 0.2, 0.3]
    const unit = Math.sqrt(1.5)
    const [s, t] = [Math.sqrt(0.5), 0.2 / Math.sqrt(0.5)]
    const rest = Math.sqrt(0.3 - t * t)
    const corners = [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ].map(([x = 0, y = 0]) => [1 + unit * s * x, 2 + unit * (t * x + rest * y)])
    expect(frechetOfSpreads(spreadOf(pointsOf(corners)), spreadOfGaussian([1, 2], cov))).toBeCloseTo(0, 7)
    expect(frechetOfSpreads(spreadOf(pointsOf(corners)), spreadOfGaussian([1, 0], cov))).toBeCloseTo(4, 7)
  })
  it('is told of points that hardly differ, too', () => {
    const p = pointsOf([
      [0.0020720896299870903, 0, 0],
      [0, 0, 0],
      [0, 1.9066e-320, 0],
      [0, 1.5e-323, -1.9076e-320],
    ])
    for (const scale of [1, 1e-100, 1e-160, 0]) {
      const close = { ...p, data: p.data.map((x) => scale * x) }
      expect(frechet(close, close)).toBeCloseTo(0, 5)
      expect(
        frechet(
          close,
          pointsOf([
            [0, 0, 0],
            [0, 0, 0],
          ]),
        ),
      ).toBeLessThan(1e-5)
    }
  })
  it('is 0 of a set with itself, symmetric, shifts by |d|^2, and does not see rotations', () => {
    const plane = fc.array(fc.double({ min: 0.5, max: 2, noNaN: true }), { minLength: 3, maxLength: 3 })
    fc.assert(
      fc.property(some(3, 2), some(3, 2), plane, (p, q, v) => {
        expect(frechet(p, p)).toBeCloseTo(0, 5)
        expect(frechet(p, q)).toBeCloseTo(frechet(q, p), 5)
        expect(frechet(reflected(v, p), reflected(v, q))).toBeCloseTo(frechet(p, q), 5)
        const moved = pointsOf(rows(p).map((row) => row.map((x, k) => x + (v[k] ?? 0))))
        const square = v.reduce((sum, x) => sum + x * x, 0)
        expect(frechet(p, moved)).toBeCloseTo(square, 5)
      }),
    )
  })
})

describe('kernel distance', () => {
  it("is NumPy's", () => {
    expect(kernelDistance(a, b)).toBeCloseTo(-0.20957290819261631, 12)
  })
  it('is unbiased: over all halves of a set its mean is 0', () => {
    const choose = (n: number, k: number, from = 0): readonly (readonly number[])[] =>
      k === 0
        ? [[]]
        : Array.from({ length: n - from }, (_, i) => from + i).flatMap((first) =>
            choose(n, k - 1, first + 1).map((rest) => [first, ...rest]),
          )
    fc.assert(
      fc.property(fc.array(fc.array(number, { minLength: 2, maxLength: 2 }), { minLength: 6, maxLength: 6 }), (all) => {
        const values = choose(6, 3).map((half) =>
          kernelDistance(
            pointsOf(all.filter((_, i) => half.includes(i))),
            pointsOf(all.filter((_, i) => !half.includes(i))),
          ),
        )
        expect(values.length).toBe(20)
        expect(values.reduce((x, y) => x + y, 0) / 20).toBeCloseTo(0, 8)
        expect(Math.max(...values)).toBeGreaterThanOrEqual(-1e-8)
      }),
      { numRuns: 30 },
    )
  })
})

describe('precision and recall', () => {
  it("are NumPy's", () => {
    const far = wave(9, 5, 0.53, 0.2, 1.2)
    expect(precisionRecall(far, a)).toEqual({ precision: 8 / 9, recall: 2 / 12 })
    expect(precisionRecall(far, a, 2)).toEqual({ precision: 7 / 9, recall: 2 / 12 })
    expect(precisionRecall(a, far)).toEqual({ precision: 2 / 12, recall: 8 / 9 })
  })
  it('are 1 of equal sets and 0 of sets far apart; samples of one mode are precise and recall little', () => {
    fc.assert(
      fc.property(some(3, 4), (p) => {
        expect(precisionRecall(p, p)).toEqual({ precision: 1, recall: 1 })
        const far = pointsOf(rows(p).map((row) => row.map((x) => x + 100)))
        expect(precisionRecall(far, p)).toEqual({ precision: 0, recall: 0 })
      }),
    )
    const line = pointsOf(Array.from({ length: 40 }, (_, i) => [i]))
    const mode = pointsOf(Array.from({ length: 40 }, (_, i) => [5 + i / 40]))
    const { precision, recall } = precisionRecall(mode, line)
    expect(precision).toBe(1)
    expect(recall).toBeLessThan(0.1)
  })
})

describe('nearest', () => {
  it('is each point of a set that it belongs to, and otherwise the closest', () => {
    expect(nearest(a, a)).toEqual(Int32Array.from({ length: 12 }, (_, i) => i))
    expect(nearest(pointsOf([[0.9], [-4]]), pointsOf([[3], [0], [1]]))).toEqual(Int32Array.of(2, 1))
  })
})
