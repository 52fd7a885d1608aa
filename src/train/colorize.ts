import { fillNormal, fold, key } from '../distributions/random.ts'
import type { Items } from './inference.ts'

/** Pictures [n, channels, height, width]. */
export interface PictureShape {
  readonly n: number
  readonly channels: number
  readonly height: number
  readonly width: number
}

/** Weights [3, channels], standard normal: the same for every call with this seed, so that grids compare. */
const projection = (seed: number, channels: number): Float64Array => {
  const weights = new Float64Array(3 * channels)
  fillNormal(fold(key(seed), 'colorize'), weights)
  return weights
}

/**
 * Pictures [n, channels, height, width] of any number of channels (segmentation maps, latents) as red, green and blue,
 * [n, 3, height, width] in [-1, 1]: a seeded random projection, then one linear map of all values, the smallest to -1 and the largest
 * to 1. Where all are the same, they become 0. NaN stays NaN, and infinities become NaN. Source: `AutoencoderKL.to_rgb` of
 * ldm/models/autoencoder.py, which divides by 0 there.
 *
 * ```ts
 * colorize(0)(new Float32Array(8), { n: 1, channels: 8, height: 1, width: 1 }) // Float32Array [0, 0, 0]
 * ```
 */
export const colorize =
  (seed: number) =>
  (pictures: Float32Array, { n, channels, height, width }: PictureShape): Float32Array => {
    const plane = height * width
    const weights = projection(seed, channels)
    const projected = Float64Array.from({ length: n * 3 * plane }, (_, i) => {
      const [picture, colour, pixel] = [Math.floor(i / (3 * plane)), Math.floor(i / plane) % 3, i % plane]
      let sum = 0
      for (let c = 0; c < channels; c++)
        sum +=
          (weights[colour * channels + c] ?? 0) * (pictures[(picture * channels + c) * plane + pixel] ?? Number.NaN)
      return Number.isFinite(sum) ? sum : Number.NaN
    })
    const seen = projected.filter(Number.isFinite)
    const low = seen.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
    const range = seen.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) - low
    return Float32Array.from(projected, (x) => (range > 0 || Number.isNaN(x) ? (2 * (x - low)) / range - 1 : 0))
  }

/** Pictures of 1 or 3 channels as they are, others (label maps, latents) in colours. */
export const inColour = (pictures: Items, seed: number): Items => {
  const { n, shape, data } = pictures
  const [channels = 0, height = 0, width = 0] = shape
  return channels === 1 || channels === 3
    ? pictures
    : { n, shape: [3, height, width], data: colorize(seed)(data, { n, channels, height, width }) }
}
