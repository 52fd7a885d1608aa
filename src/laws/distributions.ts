import fc from 'fast-check'
import { broadcast, constant, exp, mul, reshape, sub, sum, type Tensor } from '../declare/index.ts'
import { discretizedLogLikelihood, type LocationScale } from '../distributions/discretized-gaussian.ts'
import { gaussian, kl, nll, sample } from '../distributions/gaussian.ts'
import { fillNormal, key } from '../distributions/random.ts'
import { float } from '../graph/types.ts'
import { pipe, TE } from '../prelude.ts'
import { grad } from '../transform/index.ts'
import { type Law, law, lawOf } from './law.ts'
import { gap, real, reals, rows, shortfall, total } from './numbers.ts'

/** Mean and log-variance, both [N, D]: what a diagonal Gaussian is made of. */
export interface Moments {
  readonly mean: Tensor
  readonly logvar: Tensor
}

/** An implementation of diagonal Gaussians, to be held to the laws: yours or this library's. */
export interface GaussianImplementation {
  /** KL(p || q) of each item in nats, [N]. */
  readonly kl: (p: Moments, q: Moments) => Tensor
  /** -log p(x) of each item in nats, [N]. */
  readonly nll: (x: Tensor, p: Moments) => Tensor
  /** A sample from noise of N(0, I), [N, D]. */
  readonly sample: (noise: Tensor, p: Moments) => Tensor
}

/** The library's own Gaussians, as `gaussianLaws` takes them. */
export const diagonalGaussians: GaussianImplementation = {
  kl: (p, q) => pipe(gaussian(p.mean, p.logvar), kl(gaussian(q.mean, q.logvar))),
  nll: (x, p) => pipe(gaussian(p.mean, p.logvar), nll(x)),
  sample: (noise, p) => pipe(gaussian(p.mean, p.logvar), sample(noise)),
}

interface Numbers {
  readonly mean: readonly number[]
  readonly logvar: readonly number[]
}
const numbers = (size: number): fc.Arbitrary<Numbers> =>
  fc.record({ mean: reals(size, -3, 3), logvar: reals(size, -2, 2) })
const sizes = fc.integer({ min: 1, max: 4 })
const two = sizes.chain((size) => fc.record({ p: numbers(size), q: numbers(size) }))
const moments = ({ mean, logvar }: Numbers): Moments => ({ mean: rows(mean), logvar: rows(logvar) })
/** The same item n times. */
const repeated = (n: number, { mean, logvar }: Numbers): Moments => ({
  mean: pipe(rows(mean), broadcast(n, mean.length)),
  logvar: pipe(rows(logvar), broadcast(n, logvar.length)),
})

const klIsDefinite = (g: GaussianImplementation): readonly Law[] => [
  lawOf({
    name: 'KL is not negative',
    equation: 'KL(p || q) >= 0',
    source: 'Kullback and Leibler 1951, lemma 3.1',
    tolerance: { float64: 1e-14, float32: 1e-5 },
    arbitrary: two,
    outputs: ({ p, q }) => ({ kl: g.kl(moments(p), moments(q)) }),
    deviation: (r) => shortfall(r.kl),
  }),
  lawOf({
    name: 'KL of equals is 0',
    equation: 'KL(p || p) = 0',
    source: 'Kullback and Leibler 1951, lemma 3.1',
    tolerance: { float64: 1e-14, float32: 1e-5 },
    arbitrary: sizes.chain(numbers),
    outputs: (p) => ({ kl: g.kl(moments(p), moments(p)) }),
    deviation: (r) => gap(r.kl, [0]),
  }),
  law({
    name: 'KL is 0 for equals only',
    equation: "KL(p || q) >= 1/2 sum (mu - mu')^2 / var' + 1/2 sum min(d^2, |d|) / 4, d = log var - log var'",
    source: 'e^d - 1 - d >= min(d^2, |d|) / 4 for every d',
    tolerance: { float64: 1e-13, float32: 1e-5 },
    arbitrary: two,
    deviation: ({ p, q }, { ask }) => {
      const bound = total(
        p.mean.map((mean, i) => {
          const [other, width] = [q.mean[i] ?? Number.NaN, q.logvar[i] ?? Number.NaN]
          const d = Math.abs((p.logvar[i] ?? Number.NaN) - width)
          return 0.5 * ((mean - other) ** 2 / Math.exp(width) + Math.min(d * d, d) / 4)
        }),
      )
      return pipe(
        ask({ kl: g.kl(moments(p), moments(q)) }),
        TE.map((r) => shortfall(r.kl, bound)),
      )
    },
  }),
]

const draws = 4000
const klIsAnExpectation = (g: GaussianImplementation): Law =>
  lawOf({
    name: 'KL is the expected log-ratio',
    equation: 'KL(p || q) = E_p[log p(x) - log q(x)], by Monte Carlo; deviation in standard errors',
    source: 'Kullback and Leibler 1951, equation 2.4',
    tolerance: { float64: 6, float32: 6 },
    runs: 10,
    arbitrary: fc.record({ pair: two, seed: fc.nat() }),
    outputs: ({ pair: { p, q }, seed }) => {
      const noise = new Float64Array(draws * p.mean.length)
      fillNormal(key(seed), noise)
      const [many, others] = [repeated(draws, p), repeated(draws, q)]
      const x = g.sample(constant(Array.from(noise), float(draws, p.mean.length)), many)
      return { kl: g.kl(moments(p), moments(q)), ratio: pipe(g.nll(x, others), sub(g.nll(x, many))) }
    },
    deviation: ({ kl: [expected = Number.NaN], ratio }) => {
      const average = total(ratio) / draws
      const variance = total(ratio.map((r) => (r - average) ** 2)) / (draws - 1)
      return Math.abs(average - expected) / (Math.sqrt(variance / draws) + 1e-6)
    },
  })

const affine = fc.record({ pair: two, scale: real(0.3, 3), flip: fc.boolean(), shift: real(-2, 2) })
const klIsInvariant = (g: GaussianImplementation): Law =>
  lawOf({
    name: 'KL does not change under affine maps of both',
    equation: 'KL(a p + b || a q + b) = KL(p || q)',
    source: 'Kullback and Leibler 1951, corollary 4.1',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: affine,
    outputs: ({ pair: { p, q }, scale, flip, shift }) => {
      const a = flip ? -scale : scale
      const map = ({ mean, logvar }: Numbers): Moments =>
        moments({ mean: mean.map((m) => a * m + shift), logvar: logvar.map((l) => l + 2 * Math.log(scale)) })
      return { before: g.kl(moments(p), moments(q)), after: g.kl(map(p), map(q)) }
    },
    deviation: (r) => gap(r.after, r.before),
  })

const points = 801
const densities = (g: GaussianImplementation): readonly Law[] => [
  lawOf({
    name: 'the density integrates to 1',
    equation: 'the integral of exp(-nll(x)) dx is 1',
    source: 'the trapezoid rule over 12 deviations either side, exact but for e^-72 on a Gaussian',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: numbers(1),
    outputs: (p) => {
      const [mean = 0, logvar = 0] = [p.mean[0], p.logvar[0]]
      const width = Math.exp(logvar / 2)
      const step = (24 * width) / (points - 1)
      const grid = Array.from({ length: points }, (_, i) => [mean - 12 * width + i * step])
      return { mass: pipe(g.nll(rows(...grid), repeated(points, p)), mul(-1), exp, sum(), mul(step)) }
    },
    deviation: (r) => gap(r.mass, [1]),
  }),
  lawOf({
    name: 'nll is least at the mode',
    equation: 'nll(x) >= nll(mu)',
    source: 'the density of a Gaussian falls with |x - mu|',
    tolerance: { float64: 1e-13, float32: 1e-5 },
    arbitrary: sizes.chain((size) => fc.record({ p: numbers(size), x: reals(size, -6, 6) })),
    outputs: ({ p, x }) => ({ at: pipe(g.nll(rows(x), moments(p)), sub(g.nll(rows(p.mean), moments(p)))) }),
    deviation: (r) => shortfall(r.at),
  }),
  lawOf({
    name: 'samples have the mean and the deviation',
    equation: 'x(noise) = mu + sigma noise: x(n) + x(-n) = 2 mu and x(n) - x(-n) = 2 sigma n',
    source: 'Kingma and Welling 2014, section 2.4',
    tolerance: { float64: 1e-13, float32: 1e-5 },
    arbitrary: sizes.chain((size) => fc.record({ p: numbers(size), n: reals(size, -3, 3) })),
    outputs: ({ p, n }) => ({ up: g.sample(rows(n), moments(p)), down: g.sample(rows(n.map((x) => -x)), moments(p)) }),
    deviation: ({ up, down }, { p, n }) => {
      const middle = up.map((x, i) => (x + (down[i] ?? Number.NaN)) / 2)
      const spread = up.map((x, i) => (x - (down[i] ?? Number.NaN)) / 2)
      const expected = n.map((x, i) => x * Math.exp((p.logvar[i] ?? Number.NaN) / 2))
      return Math.max(gap(middle, p.mean), gap(spread, expected))
    },
  }),
]

const stationary = (g: GaussianImplementation): Law =>
  law({
    name: 'KL to the prior is flat at the prior',
    equation: 'the gradient of KL(N(mu, var) || N(0, I)) at mu = 0, log var = 0 is 0',
    source: 'Kingma and Welling 2014, appendix B',
    tolerance: { float64: 1e-14, float32: 1e-6 },
    arbitrary: sizes,
    deviation: (size, { ask }) => {
      const zeros = Array.from({ length: size }, () => 0)
      const [p, q] = [moments({ mean: zeros, logvar: zeros }), moments({ mean: zeros, logvar: zeros })]
      const [mean = p.mean, logvar = p.logvar] = grad(pipe(g.kl(p, q), sum()), [p.mean, p.logvar])
      return pipe(
        ask({ mean: pipe(mean, reshape(size)), logvar: pipe(logvar, reshape(size)) }),
        TE.map((r) => Math.max(gap(r.mean, zeros), gap(r.logvar, zeros))),
      )
    },
  })

/** What every implementation of diagonal Gaussians obeys. */
export const gaussianLaws = (g: GaussianImplementation): readonly Law[] => [
  ...klIsDefinite(g),
  klIsAnExpectation(g),
  klIsInvariant(g),
  ...densities(g),
  stationary(g),
]

const levels = Array.from({ length: 256 }, (_, i) => -1 + (2 * i) / 255)

/** What every likelihood of 8-bit pictures obeys: `logLikelihood` of x at a location and scale, elementwise. */
export const discretizedLaws = (logLikelihood: (x: Tensor, at: LocationScale) => Tensor): readonly Law[] => [
  lawOf({
    name: 'the levels of a picture exhaust the probability',
    equation: 'sum over the 256 levels x of P(x) = 1',
    source: 'Ho et al. 2020, equation 13: the sum telescopes',
    tolerance: { float64: 1e-11, float32: 1e-4 },
    arbitrary: fc.record({ mean: real(-1.5, 1.5), logScale: real(-5, 1) }),
    outputs: ({ mean, logScale }) => {
      const x = rows(levels)
      const at = { mean: pipe(rows([mean]), broadcast(1, 256)), logScale: pipe(rows([logScale]), broadcast(1, 256)) }
      return { mass: pipe(logLikelihood(x, at), exp, sum()) }
    },
    deviation: (r) => gap(r.mass, [1]),
  }),
]

/** This library's distributions. */
export const distributionLaws: readonly Law[] = [
  ...gaussianLaws(diagonalGaussians),
  ...discretizedLaws((x, at) => discretizedLogLikelihood(x)(at)),
]
