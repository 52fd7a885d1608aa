import { innerProduct, type Points } from './points.ts'

/** (x . y / dim + 1)^3 */
const kernel = (a: Points, i: number, b: Points, j: number): number => (innerProduct(a, i, b, j) / a.dim + 1) ** 3

/** The mean of the kernel over pairs of different points. */
const within = (a: Points): number => {
  let sum = 0
  for (let i = 0; i < a.n; i++) for (let j = 0; j < i; j++) sum += kernel(a, i, a, j)
  return (2 * sum) / (a.n * (a.n - 1))
}
const between = (a: Points, b: Points): number => {
  let sum = 0
  for (let i = 0; i < a.n; i++) for (let j = 0; j < b.n; j++) sum += kernel(a, i, b, j)
  return sum / (a.n * b.n)
}

/**
 * The kernel inception distance of two sets, at least two points in each: the unbiased estimate of the squared maximum mean discrepancy
 * by the cubic kernel (Binkowski et al. 2018, section 4; Gretton et al. 2012, equation 3). It may be less than 0.
 */
export const kernelDistance = (a: Points, b: Points): number => within(a) + within(b) - 2 * between(a, b)
