import type { Shape } from '../graph/types.ts'

/** Pictures in a row, each [C, h, w] in [-1, 1]. */
export interface Pictures {
  readonly n: number
  readonly shape: Shape
  readonly data: Float32Array
}

/** Wang et al. 2004, section III.B: an 11x11 window, Gaussian of 1.5 pixels; K1 and K2 for a range of 1. */
const [side, deviation, c1, c2] = [11, 1.5, 0.01 ** 2, 0.03 ** 2]

/** Weights of a window along one axis, which sum to 1; of pictures smaller than the window, the largest odd one that fits. */
const windowOf = (shortest: number): Float64Array => {
  const odd = Math.min(side, shortest - 1 + (shortest % 2))
  const weights = Float64Array.from({ length: odd }, (_, i) => Math.exp(-0.5 * ((i - (odd - 1) / 2) / deviation) ** 2))
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((x) => x / sum)
}

interface Plane {
  readonly height: number
  readonly width: number
  readonly data: Float64Array
}

/** Weighted means of the windows that lie inside of a plane. */
const means = (weights: Float64Array, { height, width, data }: Plane): Plane => {
  const [rows, columns] = [height - weights.length + 1, width - weights.length + 1]
  const across = new Float64Array(height * columns)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < columns; x++) {
      let sum = 0
      for (let i = 0; i < weights.length; i++) sum += (weights[i] ?? 0) * (data[y * width + x + i] ?? 0)
      across[y * columns + x] = sum
    }
  const down = new Float64Array(rows * columns)
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < columns; x++) {
      let sum = 0
      for (let i = 0; i < weights.length; i++) sum += (weights[i] ?? 0) * (across[(y + i) * columns + x] ?? 0)
      down[y * columns + x] = sum
    }
  return { height: rows, width: columns, data: down }
}

/** Equation 13 over all windows of one channel. */
const ofChannel = (weights: Float64Array, a: Plane, b: Plane): number => {
  const product = (u: Plane, v: Plane): Float64Array =>
    means(weights, { ...u, data: u.data.map((x, i) => x * (v.data[i] ?? 0)) }).data
  const [mu, nu] = [means(weights, a).data, means(weights, b).data]
  const [aa, bb, ab] = [product(a, a), product(b, b), product(a, b)]
  let sum = 0
  for (let i = 0; i < mu.length; i++) {
    const [m = 0, n = 0] = [mu[i], nu[i]]
    const variances = (aa[i] ?? 0) - m * m + (bb[i] ?? 0) - n * n
    const covariance = (ab[i] ?? 0) - m * n
    sum += ((2 * m * n + c1) * (2 * covariance + c2)) / ((m * m + n * n + c1) * (variances + c2))
  }
  return sum / mu.length
}

/**
 * Structural similarity of pictures, 1 where they are equal (Wang et al. 2004): the mean over windows that lie inside, and over
 * channels; values are clamped to [-1, 1] and taken to [0, 1].
 */
export const ssims = (originals: Pictures, others: Pictures): readonly number[] => {
  const [channels = 0, height = 0, width = 0] = originals.shape
  const weights = windowOf(Math.min(height, width))
  const plane = ({ data }: Pictures, at: number): Plane => {
    const part = data.subarray(at * height * width, (at + 1) * height * width)
    return { height, width, data: Float64Array.from(part, (x) => (Math.min(1, Math.max(-1, x)) + 1) / 2) }
  }
  return Array.from({ length: originals.n }, (_, i) => {
    const each = Array.from({ length: channels }, (_c, c) =>
      ofChannel(weights, plane(originals, i * channels + c), plane(others, i * channels + c)),
    )
    return each.reduce((a, b) => a + b, 0) / channels
  })
}

/** The mean over the pictures of `ssims`. */
export const ssim = (originals: Pictures, others: Pictures): number =>
  ssims(originals, others).reduce((a, b) => a + b, 0) / originals.n
