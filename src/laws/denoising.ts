import fc from 'fast-check'
import { add, concat, div, gather, input, mul, perItem, square, sub, type Tensor, vector } from '../declare/index.ts'
import { bitsGraph, bitsPerDim, everyTimestep } from '../diffusion/bits.ts'
import { type Decoder, fixedLogVariance, type Variance } from '../diffusion/bound.ts'
import { denoiser } from '../diffusion/denoiser.ts'
import { type DenoisingObjective, denoisingLoss } from '../diffusion/denoising-loss.ts'
import { mixtureAt } from '../diffusion/forward.ts'
import { varianceDenoiser } from '../diffusion/learned-variance.ts'
import {
  convert,
  type Mixture,
  type Parameterization,
  parameterizations,
  target,
} from '../diffusion/parameterization.ts'
import { discreteProcess, flowProcess, type Process } from '../diffusion/process.ts'
import { drawTimes } from '../diffusion/times.ts'
import { snr, type Weighting, weightOf } from '../diffusion/weighting.ts'
import { floats } from '../execute/executor.ts'
import { float } from '../graph/types.ts'
import { distance, pseudoHuber } from '../losses/reconstruction.ts'
import { E, pipe, TE } from '../prelude.ts'
import { noiseSchedule } from '../schedulers/noise-schedule.ts'
import { levelAt, type Path, type Shares, snrOf } from '../schedulers/path.ts'
import { grad } from '../transform/index.ts'
import { noiseSchedules, silenced } from './diffusion.ts'
import { type Law, law, lawOf } from './law.ts'
import { fed, gap, largest, real, reals, rows, total } from './numbers.ts'
import { walks } from './walks.ts'

/** What training along any process obeys: shares, times, weights, losses, and the bits that come of it. */

const flows = fc
  .record({ timesteps: fc.integer({ min: 2, max: 1000 }), shift: fc.oneof(fc.constant(1), real(0.3, 4)) })
  .map(flowProcess)
const sigmoids = fc
  .record({ timesteps: fc.integer({ min: 2, max: 100 }), end: real(1, 4), temperature: real(0.7, 2) })
  .map((given) => {
    const made = noiseSchedule({ kind: 'sigmoid', ...given })
    if (E.isLeft(made)) throw new Error(JSON.stringify(made.left))
    return made.right
  })
const processes: fc.Arbitrary<Process> = fc.oneof(
  noiseSchedules.map(discreteProcess),
  sigmoids.map(discreteProcess),
  noiseSchedules.map(silenced).map(discreteProcess),
  flows,
)
const paths: fc.Arbitrary<Path> = fc.oneof(
  walks.map(({ path }) => path),
  processes.map(({ path }) => path),
)

const kinds = fc.constantFrom(...parameterizations)
const numbers = reals(3, -2, 2)

const fading: Law = law({
  name: 'SNR falls on every path',
  equation: 'alpha_t / sigma_t < alpha_s / sigma_s for t > s',
  source: 'Kingma et al. 2021, section 3.1',
  tolerance: { float64: 0, float32: 0 },
  runs: 100,
  arbitrary: fc.record({ path: paths, shares: reals(6, 0, 1) }),
  deviation: ({ path: { span, whole, at }, shares }) => {
    const [least, most] = span
    const times = shares.map((u) => least + u * (most - least)).map((t) => (whole ? Math.round(t) : t))
    const rising = [...new Set([least, ...times, most])].sort((a, b) => a - b)
    const ratios = rising.map((t) => snrOf(at(t)))
    return TE.right(ratios.every((x, i) => i === 0 || x < (ratios[i - 1] ?? 0)) ? 0 : 1)
  },
})

/** Shares on a path of any kind, with signal and noise in them. */
const shares: fc.Arbitrary<Shares> = fc
  .record({ path: paths, u: real(0.02, 0.98) })
  .map(({ path, u }) => {
    const [least, most] = path.span
    const t = least + u * (most - least)
    return path.at(path.whole ? Math.min(Math.round(t), most - 1) : t)
  })
  .filter(({ alpha, sigma }) => alpha > 1e-3 && sigma > 1e-3)
const mixtureOf = ({ alpha, sigma }: Shares): Mixture => ({ alpha: rows([alpha]), sigma: rows([sigma]) })

const conversions: Law = lawOf({
  name: 'predictions convert round trip on every path',
  equation: 'convert(b, a) . convert(a, b) is the identity on eps, x_0, v and the velocity',
  source: 'Salimans and Ho 2022, appendix D; Liu et al. 2023, equation 1',
  tolerance: { float64: 1e-9, float32: 2e-3 },
  arbitrary: fc.record({ at: shares, from: kinds, to: kinds, x: numbers, said: numbers }),
  outputs: ({ at, from, to, x, said }) => {
    const [m, xt] = [mixtureOf(at), rows(x)]
    return { back: convert(to, from, m, xt, convert(from, to, m, xt, rows(said))) }
  },
  deviation: (r, { said }) => gap(r.back, said),
})

const samePath: Law = lawOf({
  name: 'a network is trained where samplers walk',
  equation: 'the shares at times drawn are those of the path',
  source: 'the definition of a process',
  tolerance: { float64: 1e-12, float32: 1e-5 },
  arbitrary: fc.record({ process: processes, u: real(0, 0.999) }),
  outputs: ({ process, u }) => {
    const t = process.timeOf(vector([u]))
    return { t: pipe(t, mul(1)), ...process.mixtureAt(t, t) }
  },
  deviation: ({ t: [t = Number.NaN], alpha, sigma }, { process: { path } }) => {
    const [least, most] = path.span
    const expected = levelAt(path, t)
    const inside = t >= least * (1 - 1e-6) && t <= most * (1 + 1e-6)
    return inside ? Math.max(gap(alpha, [expected.alpha]), gap(sigma, [expected.sigma])) : Number.NaN
  },
})

const weightings: fc.Arbitrary<Weighting> = fc.oneof(
  fc.record({ kind: fc.constant('min-snr' as const), gamma: real(0.5, 20) }),
  fc.record({ kind: fc.constant('p2' as const), k: real(0.1, 2), gamma: real(0, 2) }),
  fc.constant({ kind: 'debiased' as const }),
)
const weigh = (w: Weighting, p: Parameterization, m: Mixture): Tensor => weightOf(w, p, m) ?? rows([1])

/** Weights as their papers write them, of targets on paths that preserve variance. */
const published: { readonly [P in 'eps' | 'x0' | 'v']: (ratio: number, gamma: number) => number } = {
  eps: (ratio, gamma) => Math.min(ratio, gamma) / ratio,
  x0: (ratio, gamma) => Math.min(ratio, gamma),
  v: (ratio, gamma) => Math.min(ratio, gamma) / (ratio + 1),
}

const weights: readonly Law[] = [
  lawOf({
    name: 'min-SNR is what is published',
    equation: 'min(SNR, gamma) of x_0, over SNR of eps, over SNR + 1 of v',
    source: 'Hang et al. 2023, section 3.4 and table 1',
    tolerance: { float64: 1e-10, float32: 1e-4 },
    arbitrary: fc.record({ logRatio: real(-4, 4), gamma: real(0.5, 20), p: fc.constantFrom('eps', 'x0', 'v') }),
    outputs: ({ logRatio, gamma, p }) => {
      const alpha = Math.sqrt(1 / (1 + Math.exp(-logRatio)))
      return { w: weigh({ kind: 'min-snr', gamma }, p, mixtureOf({ alpha, sigma: Math.sqrt(1 - alpha ** 2) })) }
    },
    deviation: ({ w: [w = Number.NaN] }, { logRatio, gamma, p }) =>
      Math.abs(w / published[p](Math.exp(logRatio), gamma) - 1),
  }),
  lawOf({
    name: 'weights at their limits',
    equation: 'min-SNR with gamma = inf is SNR; P2 with gamma = 0 is 1 on eps; debiased squared is SNR; all of x_0',
    source: 'Hang et al. 2023; Choi et al. 2022, equation 8; Yu et al. 2024',
    tolerance: { float64: 1e-10, float32: 1e-4 },
    arbitrary: shares,
    outputs: (at) => {
      const m = mixtureOf(at)
      return {
        ratio: snr(m),
        unbounded: weigh({ kind: 'min-snr', gamma: 1e30 }, 'x0', m),
        flat: weigh({ kind: 'p2', k: 1, gamma: 0 }, 'eps', m),
        squared: square(weigh({ kind: 'debiased' }, 'x0', m)),
      }
    },
    deviation: ({ ratio, ...r }) => Math.max(gap(r.unbounded, ratio), gap(r.flat, [1]), gap(r.squared, ratio)),
  }),
  lawOf({
    name: 'a weighting does not care what is predicted',
    equation: "w^a |a - a'|^2 = w^b |b - b'|^2 for one error, said in a and in b",
    source: 'Hang et al. 2023, section 3.4',
    tolerance: { float64: 1e-9, float32: 2e-3 },
    arbitrary: fc.record({
      at: shares,
      w: weightings,
      from: kinds,
      to: kinds,
      x0: numbers,
      eps: numbers,
      said: numbers,
    }),
    outputs: ({ at, w, from, to, ...o }) => {
      const m = mixtureOf(at)
      const made = { x0: rows(o.x0), eps: rows(o.eps) }
      const xt = rows(o.x0.map((x, i) => at.alpha * x + at.sigma * (o.eps[i] ?? 0)))
      const loss = (p: Parameterization, prediction: Tensor): Tensor =>
        pipe(prediction, sub(target(p, m, made)), square, mul(weigh(w, p, m)))
      return { own: loss(from, rows(o.said)), other: loss(to, convert(from, to, m, xt, rows(o.said))) }
    },
    deviation: (r) => gap(r.other, r.own),
  }),
  lawOf({
    name: "a flow's bound weighs as SNR falls",
    equation: 'T w(u) = -1/2 dSNR/du, of the error of x_0',
    source: 'Kingma et al. 2021, equation 17',
    tolerance: { float64: 1e-7, float32: 5e-3 },
    arbitrary: fc.record({ process: flows.filter(({ path }) => path.span[1] > 20), u: real(0.2, 0.9) }),
    outputs: ({ process, u }) => {
      const at = (share: number) => process.timeOf(vector([share]))
      const ratio = (share: number) => snr(process.mixtureAt(at(share), at(share)))
      return { w: process.vlbWeight('x0', at(u)), ratios: concat(0, ...[-2, -1, 1, 2].map((k) => ratio(u + k * step))) }
    },
    deviation: ({ w: [w = Number.NaN], ratios: [a = 0, b = 0, c = 0, d = 0] }, { process }) =>
      Math.abs((w * process.path.span[1] * 2 * 12 * step) / (8 * (b - c) - (a - d)) - 1),
  }),
]
const step = 1e-3

const times: Law = lawOf({
  name: 'times that are drawn unevenly are corrected',
  equation: 'correction(n) density(n) = du / dn, with u = sigmoid(mean + deviation n)',
  source: 'Esser et al. 2024, equation 19',
  tolerance: { float64: 1e-5, float32: 5e-3 },
  arbitrary: fc.record({ mean: real(-1, 1), deviation: real(0.5, 1.5), n: real(-2, 2) }),
  outputs: ({ mean, deviation }) => {
    const { t, correction = t } = drawTimes(flowProcess(), { kind: 'logit-normal', mean, deviation }, 3)
    return { share: pipe(t, sub(1), div(999)), correction }
  },
  feeds: ({ n }) => fed({ timestep: [n - step, n, n + step] }, [3]),
  deviation: ({ share: [down = 0, , up = 0], correction: [, correction = 0] }, { n }) =>
    gap([(correction * Math.exp(-(n ** 2) / 2)) / Math.sqrt(2 * Math.PI)], [(up - down) / (2 * step)]),
})

const huber: Law = lawOf({
  name: 'pseudo-Huber lies between L1 and L2',
  equation: '|d| - c <= sqrt(d^2 + c^2) - c <= min(|d|, d^2 / 2c)',
  source: 'Charbonnier et al. 1994; Song and Dhariwal 2024, equation 9',
  tolerance: { float64: 1e-14, float32: 1e-5 },
  arbitrary: fc.record({ c: real(0.01, 3), x: numbers, y: numbers }),
  outputs: ({ c, x, y }) => ({
    huber: pseudoHuber(c, rows(y))(rows(x)),
    l1: distance('l1', rows(y))(rows(x)),
    l2: distance('l2', rows(y))(rows(x)),
  }),
  deviation: ({ huber: h, l1, l2 }, { c }) =>
    Math.max(
      ...h.map((x, i) => {
        const [one = Number.NaN, two = Number.NaN] = [l1[i], l2[i]]
        return Math.max(one - c - x, x - Math.min(one, two / (2 * c)), 0)
      }),
    ),
})

/** A network of one weight for what it predicts, and another for the variance. */
const weighted = (p: Parameterization) => {
  const [mean, spread] = [vector([0.3]), vector([0.2])]
  const net = varianceDenoiser(p, (xt) => concat(1, pipe(xt, mul(mean)), pipe(xt, mul(spread))))
  return { net, mean, spread }
}
/** What can be told at any time of a process: a path that ends in noise has no eps to tell. */
const targets: readonly Parameterization[] = ['x0', 'v', 'flow']

const finite: Law = lawOf({
  name: 'losses and their gradients are finite',
  equation: '|L|, |dL/dw| < inf, at every time of every process',
  source: 'what training needs',
  tolerance: { float64: 0, float32: 0 },
  arbitrary: fc.record({
    process: processes,
    u: reals(3, 0, 0.999),
    p: fc.constantFrom(...targets),
    weighting: fc.oneof(weightings, fc.constant({ kind: 'simple' as const })),
    decoder: fc.constantFrom<Decoder[]>({ kind: 'density' }, { kind: 'pixels', scale: 0.5 }),
    c: real(0.01, 1),
    x0: numbers,
    eps: numbers,
  }),
  outputs: ({ process, u, p, weighting, decoder, c, x0, eps }) => {
    const { net, mean, spread } = weighted(p)
    const t = process.timeOf(vector(u))
    const column = (xs: readonly number[]): Tensor => rows(...xs.map((x) => [x]))
    const logvar = process.schedule === undefined ? {} : { logvar: vector(process.schedule.betas.map(() => 0.1)) }
    const { loss } = denoisingLoss(process, {
      ...{ weighting, ...logvar, vlbWeight: 0.1, variance: { weight: 1e-3, decoder } },
      distance: (y) => pseudoHuber(c, y),
    })(net, { x0: column(x0), eps: column(eps), t })
    const [slope = loss, other = loss] = grad(loss, [mean, spread])
    return { loss, slope, other }
  },
  deviation: (r) => ([...r.loss, ...r.slope, ...r.other].every(Number.isFinite) ? 0 : 1),
})

const apart: Law = lawOf({
  name: "the bound teaches a network's variance alone",
  equation: 'dL_hybrid / d mean = dL_simple / d mean',
  source: 'Nichol and Dhariwal 2021, section 3.1',
  tolerance: { float64: 1e-12, float32: 1e-4 },
  arbitrary: fc.record({
    s: noiseSchedules,
    p: fc.constantFrom(...targets),
    u: real(0, 0.999),
    x0: numbers,
    eps: numbers,
  }),
  outputs: ({ s, p, u, x0, eps }) => {
    const process = discreteProcess(s)
    const { net, mean, spread } = weighted(p)
    const batch = { x0: rows(x0), eps: rows(eps), t: process.timeOf(vector([u])) }
    const lossOf = (objective: DenoisingObjective): Tensor => denoisingLoss(process, objective)(net, batch).loss
    const hybrid = lossOf({ variance: { weight: 1, decoder: { kind: 'density' } } })
    const [own = hybrid, taught = hybrid] = grad(hybrid, [mean, spread])
    const [simple = hybrid] = grad(lossOf({}), [mean])
    return { own, simple, taught }
  },
  deviation: (r) => (largest(r.taught) > 0 ? gap(r.own, r.simple) : Number.NaN),
})

/** KL(N(0, v) || N(0, w)) of equal means. */
const spreadKl = (v: number, w: number): number => 0.5 * (v / w - 1 - Math.log(v / w))

const bits: Law = law({
  name: 'bits per dimension of a Gaussian',
  equation:
    'L_T + sum L_t = H(x_0) + KL(q_T || N(0, 1)) + sum KL(var q(x_{t-1} | x_t) || var p_t), the last 0 of learnt variances',
  source: 'Ho et al. 2020, equation 5; Nichol and Dhariwal 2021, equation 15',
  tolerance: { float64: 1e-9, float32: 1e-3 },
  runs: 20,
  arbitrary: fc.record({
    s: noiseSchedules,
    mean: real(-1, 1),
    deviation: real(0.3, 2),
    variance: fc.constantFrom<(Variance | 'learned')[]>('learned', 'small', 'large'),
  }),
  deviation: ({ s, mean, deviation, variance }, { executor }) => {
    const power = (bar: number): number => bar * deviation ** 2 + 1 - bar
    const reverse = s.betas.map(
      (beta, t) => (beta * power(s.alphasCumprodPrev[t] ?? 1)) / power(s.alphasCumprod[t] ?? 1),
    )
    const predict = (xt: Tensor, t: Tensor): Tensor => {
      const { alpha, sigma } = mixtureAt(s, t, xt)
      const gain = pipe(alpha, mul(deviation ** 2), div(pipe(square(alpha), mul(deviation ** 2), add(square(sigma)))))
      return pipe(xt, sub(pipe(alpha, mul(mean))), mul(gain), add(mean))
    }
    const spread = (t: Tensor, xt: Tensor): Tensor => {
      const least = fixedLogVariance(s, 'small', t, xt)
      const wanted = pipe(vector(reverse.map(Math.log)), gather(t), perItem(xt))
      const most = pipe(vector(s.betas.map(Math.log)), gather(t), perItem(xt))
      return pipe(wanted, sub(least), div(pipe(most, sub(least))))
    }
    const best = Object.assign(
      denoiser('x0', predict),
      variance === 'learned' ? { variance: (xt: Tensor, t: Tensor) => spread(t, xt) } : {},
    )
    const second = s.posteriorVariance[1] ?? Number.NaN
    const chosen = { small: s.posteriorVariance, large: s.betas, learned: reverse }[variance]
    const missed = reverse.map((v, t) => spreadKl(v, t === 0 && variance !== 'learned' ? second : (chosen[t] ?? 1)))
    const last = s.alphasCumprod.at(-1) ?? Number.NaN
    const entropy = 0.5 * Math.log(2 * Math.PI * Math.E * deviation ** 2)
    const expected = entropy + spreadKl(power(last), 1) + 0.5 * last * mean ** 2 + total(missed)
    const shape = [4, 1]
    const corners = (xs: readonly number[]) => floats(shape, Float64Array.from(xs))
    // Expectations of quadratics are exact over the corners x_0 = m +- d, eps = +- 1.
    const options = { decoder: { kind: 'density' as const }, ...(variance === 'learned' ? {} : { variance }) }
    const given = { x0: input('x0', float(...shape)), eps: input('eps', float(...shape)) }
    return pipe(
      TE.fromEither(bitsGraph(s, best, given, options)),
      TE.flatMap((graph) => executor.compile(graph, { mode: 'sampling' })),
      TE.flatMap((executable) =>
        TE.bracket(
          TE.right(executable),
          () =>
            bitsPerDim({
              executable,
              items: 4,
              feeds: () => ({
                x0: corners([1, 1, -1, -1].map((c) => mean + c * deviation)),
                eps: corners([1, -1, 1, -1]),
              }),
              visits: everyTimestep(s.timesteps),
            }),
          (x) => TE.fromIO(x.dispose),
        ),
      ),
      TE.map((found) => gap([(total(found) / 4) * Math.LN2], [expected])),
    )
  },
})

/** This library's processes and objectives. */
export const denoisingLaws: readonly Law[] = [
  fading,
  conversions,
  samePath,
  ...weights,
  times,
  huber,
  finite,
  apart,
  bits,
]
