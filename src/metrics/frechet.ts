import { EigenvalueDecomposition, Matrix } from 'ml-matrix'
import { innerProduct, type Points } from './points.ts'

/**
 * What a Frechet distance takes of a set: its mean, and its covariance [dim, dim] as F^T F of the rows of a factor F[r, dim].
 */
export interface Spread {
  readonly mean: Float64Array
  readonly factor: Points
}

/** a b^T, as rows. */
const product = (a: Points, b: Points): readonly Float64Array[] =>
  Array.from({ length: a.n }, (_, i) => Float64Array.from({ length: b.n }, (_b, j) => innerProduct(a, i, b, j)))

/** a a^T. */
const gram = (a: Points): Matrix => {
  const all = Matrix.zeros(a.n, a.n)
  for (let i = 0; i < a.n; i++)
    for (let j = 0; j <= i; j++) {
      const p = innerProduct(a, i, a, j)
      all.set(i, j, p)
      all.set(j, i, p)
    }
  return all
}

const transposed = ({ n, dim, data }: Points): Points => {
  const turned = new Float64Array(n * dim)
  for (let i = 0; i < n; i++) for (let k = 0; k < dim; k++) turned[k * n + i] = data[i * dim + k] ?? 0
  return { n: dim, dim: n, data: turned }
}

/** Beside the greatest number, and at all: below, no eigenvalue changes, but ml-matrix divides by what its squares are, 0. */
const negligible = { relative: 1e-30, absolute: 1e-150 } as const
/** Of a matrix that is its own; what is negligible in it becomes 0. */
const eigen = (symmetric: Matrix): EigenvalueDecomposition => {
  const { rows } = symmetric
  let most = 0
  for (let i = 0; i < rows; i++) for (let j = 0; j < rows; j++) most = Math.max(most, Math.abs(symmetric.get(i, j)))
  const least = Math.max(negligible.absolute, negligible.relative * most)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < rows; j++) if (Math.abs(symmetric.get(i, j)) < least) symmetric.set(i, j, 0)
  return new EigenvalueDecomposition(symmetric, { assumeSymmetric: true })
}

/** Its symmetric root stands for a covariance. */
const rootOf = (covariance: Matrix): Points => {
  const { realEigenvalues, eigenvectorMatrix } = eigen(covariance)
  const dim = covariance.rows
  const data = new Float64Array(dim * dim)
  realEigenvalues.forEach((value, r) => {
    const root = Math.sqrt(Math.max(0, value))
    for (let k = 0; k < dim; k++) data[r * dim + k] = root * eigenvectorMatrix.get(k, r)
  })
  return { n: dim, dim, data }
}

/** Of a Gaussian whose covariance, rows in a row, is known. */
export const spreadOfGaussian = (mean: ArrayLike<number>, covariance: ArrayLike<number>): Spread => {
  const dim = mean.length
  const rows = Array.from({ length: dim }, (_, i) =>
    Array.from({ length: dim }, (_r, k) => covariance[i * dim + k] ?? 0),
  )
  return { mean: Float64Array.from(mean), factor: rootOf(new Matrix(rows)) }
}

/** Of at least two points, their covariance unbiased, over n - 1. */
export const spreadOf = ({ n, dim, data }: Points): Spread => {
  const mean = new Float64Array(dim)
  for (let i = 0; i < n; i++) for (let k = 0; k < dim; k++) mean[k] = (mean[k] ?? 0) + (data[i * dim + k] ?? 0) / n
  const scale = 1 / Math.sqrt(n - 1)
  return {
    mean,
    factor: { n, dim, data: Float64Array.from(data, (x, i) => scale * (x - (mean[i % dim] ?? 0))) },
  }
}

const sum = (values: Iterable<number>): number => {
  let all = 0
  for (const value of values) all += value
  return all
}
const trace = ({ data }: Points): number => {
  let all = 0
  for (const x of data) all += x * x
  return all
}

/** Factors of more rows than columns have the symmetric root in their place. */
const short = (factor: Points): Points => (factor.n <= factor.dim ? factor : rootOf(gram(transposed(factor))))

/**
 * |m - n|^2 + tr(S + T - 2 (S T)^(1/2)): the squared 2-Wasserstein distance of two Gaussians (Frechet 1957; Heusel et al. 2017,
 * equation 6). With S = F^T F and T = G^T G the eigenvalues of S T that are not 0 are those of (F G^T)(F G^T)^T, which is as
 * small as the smaller of both sets.
 */
export const frechetOfSpreads = (a: Spread, b: Spread): number => {
  const [less, more] = a.factor.n <= b.factor.n ? [a.factor, b.factor] : [b.factor, a.factor]
  const rows = product(short(less), more)
  const cross = gram({ n: rows.length, dim: more.n, data: Float64Array.from(rows.flatMap((row) => [...row])) })
  const shared = sum(eigen(cross).realEigenvalues.map((value) => Math.sqrt(Math.max(0, value))))
  const shift = sum(a.mean.map((x, k) => (x - (b.mean[k] ?? 0)) ** 2))
  return Math.max(0, shift + trace(a.factor) + trace(b.factor) - 2 * shared)
}

/** The Frechet distance of two sets of points, at least two in each: that of the Gaussians with their moments. */
export const frechet = (a: Points, b: Points): number => frechetOfSpreads(spreadOf(a), spreadOf(b))
