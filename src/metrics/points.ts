/** Points in a row, [n, dim]: pictures, each as the features of it. */
export interface Points {
  readonly n: number
  readonly dim: number
  readonly data: Float32Array | Float64Array
}

/** Between looks at the bound. */
const stretch = 64

/** |a_i - b_j|^2, in float64; a sum that has passed `bound` is not finished. */
export const squaredDistance = (
  a: Points,
  i: number,
  b: Points,
  j: number,
  bound = Number.POSITIVE_INFINITY,
): number => {
  const [x, y, from, at] = [a.data, b.data, i * a.dim, j * b.dim]
  let sum = 0
  for (let begin = 0; begin < a.dim && sum <= bound; begin += stretch) {
    const end = Math.min(a.dim, begin + stretch)
    for (let k = begin; k < end; k++) {
      const gap = (x[from + k] ?? 0) - (y[at + k] ?? 0)
      sum += gap * gap
    }
  }
  return sum
}

/** a_i . b_j, in float64. */
export const innerProduct = (a: Points, i: number, b: Points, j: number): number => {
  const [x, y, from, at] = [a.data, b.data, i * a.dim, j * b.dim]
  let sum = 0
  for (let k = 0; k < a.dim; k++) sum += (x[from + k] ?? 0) * (y[at + k] ?? 0)
  return sum
}

/** Of each point of `from`, the nearest of `among`. */
export const nearest = (from: Points, among: Points): Int32Array =>
  Int32Array.from({ length: from.n }, (_, i) => {
    let [best, at] = [Number.POSITIVE_INFINITY, 0]
    for (let j = 0; j < among.n; j++) {
      const distance = squaredDistance(from, i, among, j, best)
      if (distance < best) [best, at] = [distance, j]
    }
    return at
  })
