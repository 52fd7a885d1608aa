/** Square pictures at other sizes. */

/** Keys' cubic convolution kernel of a = -1/2 (Keys 1981, equation 15), which reproduces parabolas. */
const cubic = (x: number): number => {
  const d = Math.abs(x)
  return d < 1 ? 1.5 * d ** 3 - 2.5 * d ** 2 + 1 : d < 2 ? -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2 : 0
}

interface Taps {
  readonly from: number
  readonly weights: readonly number[]
}

/** Of each place of a line of `to`, what it is of places of a line of `from`; wider where a line is made shorter, so that nothing aliases. */
const tapsOf = (from: number, to: number): readonly Taps[] => {
  const ratio = from / to
  const spread = Math.max(1, ratio)
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * ratio
    const first = Math.max(0, Math.floor(centre - 2 * spread + 0.5))
    const last = Math.min(from, Math.floor(centre + 2 * spread + 0.5))
    const weights = Array.from({ length: last - first }, (_, k) => cubic((first + k + 0.5 - centre) / spread))
    const sum = weights.reduce((a, b) => a + b, 0)
    return { from: first, weights: weights.map((w) => w / sum) }
  })
}

/** Each line of `length` numbers, `stride` apart, as one of as many numbers as there are taps; the rest is copied around. */
const alongLines = (planes: Float32Array, length: number, stride: number, taps: readonly Taps[]): Float32Array => {
  const lines = planes.length / length
  const out = new Float32Array(lines * taps.length)
  for (let line = 0; line < lines; line++) {
    const [block, inside] = [Math.floor(line / stride), line % stride]
    const [source, target] = [block * length * stride + inside, block * taps.length * stride + inside]
    for (const [i, { from, weights }] of taps.entries()) {
      let sum = 0
      for (const [k, w] of weights.entries()) sum += w * (planes[source + (from + k) * stride] ?? 0)
      out[target + i * stride] = sum
    }
  }
  return out
}

/**
 * Planes [n, from, from] as [n, to, to], bicubic: as PIL's `BICUBIC` has it, with a kernel as wide as a shrunken pixel. Constant planes stay
 * as they are.
 *
 * ```ts
 * bicubic(pictures, 32, 8) // 32x32 to 8x8, all channels of all pictures
 * ```
 */
export const bicubic = (planes: Float32Array, from: number, to: number): Float32Array => {
  if (from === to) return planes
  const taps = tapsOf(from, to)
  return alongLines(alongLines(planes, from, 1, taps), from, to, taps)
}

/** Planes [n, from, from] with each number as a square of [to / from, to / from] of them. */
export const enlarged = (planes: Float32Array, from: number, to: number): Float32Array => {
  const factor = to / from
  return Float32Array.from({ length: planes.length * factor * factor }, (_, i) => {
    const [plane, y, x] = [Math.floor(i / (to * to)), Math.floor(i / to) % to, i % to]
    return planes[(plane * from + Math.floor(y / factor)) * from + Math.floor(x / factor)] ?? 0
  })
}
