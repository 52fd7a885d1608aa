import fc from 'fast-check'
import { mul, scalar, sum, sumAll, type Tensor, vector } from '../declare/index.ts'
import { denoiser } from '../diffusion/denoiser.ts'
import { mixtureAt, qPosterior } from '../diffusion/forward.ts'
import { ddpmLoss, fixedLogvar, latentDiffusionLoss } from '../diffusion/objective.ts'
import { convert, type Parameterization, parameterizations, target } from '../diffusion/parameterization.ts'
import { priorBpd } from '../diffusion/reverse.ts'
import { gaussian, normalKl } from '../distributions/gaussian.ts'
import { klAutoencoderLoss } from '../losses/kl-autoencoder.ts'
import { distance, norms } from '../losses/reconstruction.ts'
import { vqAutoencoderLoss } from '../losses/vq-autoencoder.ts'
import { pipe, TE } from '../prelude.ts'
import type { NoiseSchedule } from '../schedulers/noise-schedule.ts'
import { grad } from '../transform/index.ts'
import { bestDenoiser, noiseSchedules } from './diffusion.ts'
import { type Law, law, lawOf } from './law.ts'
import { everywhere, gap, largest, real, reals, rows, shortfall, total } from './numbers.ts'

const kinds = fc.constantFrom<Parameterization[]>(...parameterizations)
const norm = fc.constantFrom(...norms)
const dimensions = 3
const numbers = reals(dimensions, -2, 2)
const vlbOnly = { simpleWeight: 0, vlbWeight: 1 } as const

/** A batch of one, what is said of it, and a timestep not below `least`. */
const occasionsOf = (schedules: fc.Arbitrary<NoiseSchedule>) => (least: number) =>
  schedules.chain((s) =>
    fc.record({
      s: fc.constant(s),
      t: fc.integer({ min: least, max: s.timesteps - 1 }),
      x0: numbers,
      eps: numbers,
      said: numbers,
      predicts: kinds,
    }),
  )
const batchOf = (o: { readonly t: number; readonly x0: readonly number[]; readonly eps: readonly number[] }) => ({
  x0: rows(o.x0),
  eps: rows(o.eps),
  t: everywhere(o.t, 1),
})
const saying = (predicts: Parameterization, said: readonly number[]) => denoiser(predicts, () => rows(said))

const distances: Law = lawOf({
  name: 'distances are distances',
  equation: 'd(x, y) = d(y, x) >= 0, d(x, x) = 0',
  source: 'the definition of a semimetric',
  tolerance: { float64: 0, float32: 0 },
  arbitrary: fc.record({ norm, x: numbers, y: numbers }),
  outputs: ({ norm: n, x, y }) => ({
    there: distance(n, rows(y))(rows(x)),
    back: distance(n, rows(x))(rows(y)),
    none: distance(n, rows(x))(rows(x)),
  }),
  deviation: ({ there, back, none }) => Math.max(gap(there, back), shortfall(there), largest(none)),
})

const mixed = (s: NoiseSchedule, t: number, x0: number, eps: number): number =>
  (s.sqrtAlphasCumprod[t] ?? Number.NaN) * x0 + (s.sqrtOneMinusAlphasCumprod[t] ?? Number.NaN) * eps

/** KL(N(0, v) || N(0, w)) of equal means. */
const spreadKl = (v: number, w: number): number => 0.5 * (v / w - 1 - Math.log(v / w))

/**
 * Of data N(m, d^2). Both joints are Gaussian chains with the same means, so the bound misses the data's entropy by the
 * divergences of their variances. Expectations of quadratics are exact over the corners x_0 = m +- d, eps = +- 1.
 */
const elbo = (schedules: fc.Arbitrary<NoiseSchedule>): Law =>
  law({
    name: 'the terms sum to the ELBO',
    equation: '-ELBO = L_T + sum L_t + L_0 = H(x_0) + KL(q_T || N(0, 1)) + sum KL(var q(x_{t-1} | x_t) || beta~_t)',
    source: 'Ho et al. 2020, equation 5, on a Gaussian with its best denoiser',
    tolerance: { float64: 1e-10, float32: 1e-3 },
    runs: 20,
    arbitrary: fc.record({ s: schedules, mean: real(-1, 1), deviation: real(0.3, 2) }),
    deviation: ({ s, mean, deviation }, { ask }) => {
      const best = bestDenoiser(s, { mean, deviation })
      const x0 = rows(...[1, 1, -1, -1].map((c) => [mean + c * deviation]))
      const eps = rows([1], [-1], [1], [-1])
      const lossAt = (t: number, weights: { readonly simpleWeight: number; readonly vlbWeight: number }): Tensor =>
        ddpmLoss(s, weights)(best, { x0, eps, t: everywhere(t, 4) }).loss
      const terms = sumAll(...s.betas.map((_, t) => lossAt(t, vlbOnly)))
      const decoder = s.betas[0] ?? Number.NaN
      const power = (bar: number): number => bar * deviation ** 2 + 1 - bar
      const missed = s.betas.map((beta, t) => {
        const reverse = (beta * power(s.alphasCumprodPrev[t] ?? Number.NaN)) / power(s.alphasCumprod[t] ?? Number.NaN)
        return spreadKl(reverse, t === 0 ? decoder : (s.posteriorVariance[t] ?? Number.NaN))
      })
      const last = s.alphasCumprod.at(-1) ?? Number.NaN
      const priorKl = spreadKl(power(last), 1) + 0.5 * last * mean ** 2
      const entropy = 0.5 * Math.log(2 * Math.PI * Math.E * deviation ** 2)
      return pipe(
        ask({
          terms,
          prior: pipe(priorBpd(s, x0), sum(), mul(Math.LN2 / 4)),
          first: lossAt(0, { simpleWeight: 1, vlbWeight: 0 }),
        }),
        TE.map((r) => {
          const toX0 = (1 - (s.alphasCumprod[0] ?? Number.NaN)) / (s.alphasCumprod[0] ?? Number.NaN)
          const l0 = 0.5 * Math.log(2 * Math.PI * decoder) + (toX0 * total(r.first)) / (2 * decoder)
          const bound = total(r.prior) + l0 + total(r.terms)
          return gap([bound], [entropy + priorKl + total(missed)])
        }),
      )
    },
  })

/** What the objective obeys on every schedule: yours has the weights of its bound right, or not. */
export const objectiveLaws = (schedules: fc.Arbitrary<NoiseSchedule>): readonly Law[] => {
  const occasions = occasionsOf(schedules)
  return [
    lawOf({
      name: 'a perfect denoiser loses nothing',
      equation: 'L = 0 where the prediction is the target',
      source: 'Ho et al. 2020, equation 14',
      tolerance: { float64: 1e-20, float32: 1e-6 },
      arbitrary: fc.record({ occasion: occasions(0), norm }),
      outputs: ({ occasion: { s, predicts, ...o }, norm: n }) => {
        const batch = batchOf(o)
        const perfect = denoiser(predicts, (xt, t) => target(predicts, mixtureAt(s, t, xt), batch))
        return { loss: ddpmLoss(s, { norm: n, vlbWeight: 1 })(perfect, batch).loss }
      },
      deviation: (r) => gap(r.loss, [0]),
    }),
    lawOf({
      name: 'the bound does not care what is predicted',
      equation: "w^eps |eps - eps'|^2 = w^x0 |x_0 - x_0'|^2 = w^v |v - v'|^2",
      source: 'Salimans and Ho 2022, section 4; Kingma et al. 2021, equation 14',
      tolerance: { float64: 1e-10, float32: 1e-3 },
      arbitrary: fc.record({ occasion: occasions(1), other: kinds }),
      outputs: ({ occasion: { s, predicts, said, ...o }, other }) => {
        const batch = batchOf(o)
        const bound = (as: Parameterization): Tensor =>
          ddpmLoss(s, vlbOnly)(
            denoiser(as, (xt, t) => convert(predicts, as, mixtureAt(s, t, xt), xt, rows(said))),
            batch,
          ).loss
        return { own: bound(predicts), other: bound(other) }
      },
      deviation: (r) => gap(r.own, r.other),
    }),
    lawOf({
      name: "the bound's term is a KL divergence",
      equation: 'D w_t mean |target - prediction|^2 = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))',
      source: 'Ho et al. 2020, equations 8 and 12',
      tolerance: { float64: 1e-10, float32: 1e-3 },
      arbitrary: occasions(1),
      outputs: ({ s, predicts, said, ...o }) => {
        const batch = batchOf(o)
        const mixture = mixtureAt(s, batch.t, batch.x0)
        const xt = rows(o.x0.map((x, i) => mixed(s, o.t, x, o.eps[i] ?? Number.NaN)))
        const guess = convert(predicts, 'x0', mixture, xt, rows(said))
        const [q, p] = [qPosterior(s, { x0: batch.x0, xt, t: batch.t }), qPosterior(s, { x0: guess, xt, t: batch.t })]
        const divergence = normalKl({ mean: q.mean, logvar: q.logVariance }, { mean: p.mean, logvar: p.logVariance })
        return {
          term: pipe(ddpmLoss(s, vlbOnly)(saying(predicts, said), batch).loss, mul(dimensions)),
          divergence: pipe(divergence, sum()),
        }
      },
      deviation: (r) => gap(r.term, r.divergence),
    }),
    lawOf({
      name: 'a log-variance of 0 changes nothing',
      equation: 'L / e^0 + 0 = L',
      source: 'CompVis latent-diffusion, ddpm.py LatentDiffusion.p_losses',
      tolerance: { float64: 1e-14, float32: 1e-6 },
      arbitrary: fc.record({ occasion: occasions(0), norm }),
      outputs: ({ occasion: { s, predicts, said, ...o }, norm: n }) => {
        const [says, batch] = [saying(predicts, said), batchOf(o)]
        return {
          plain: ddpmLoss(s, { norm: n })(says, batch).loss,
          weighed: latentDiffusionLoss(s, { norm: n, logvar: fixedLogvar(s.timesteps) })(says, batch).loss,
        }
      },
      deviation: (r) => gap(r.weighed, r.plain),
    }),
    lawOf({
      name: 'the best log-variance is the log of the error',
      equation: 'd/dl (e / exp(l) + l) = 0 at l = log e',
      source: 'Kendall and Gal 2017, equation 5',
      tolerance: { float64: 1e-12, float32: 1e-4 },
      arbitrary: occasions(0).filter(({ eps, said }) => gap(eps, said) > 0.05),
      outputs: ({ s, said, ...o }) => {
        const error = total(o.eps.map((e, i) => (e - (said[i] ?? Number.NaN)) ** 2)) / dimensions
        const logvar = vector(s.betas.map((_, t) => (t === o.t ? Math.log(error) : 0)))
        const { loss } = latentDiffusionLoss(s, { logvar })(saying('eps', said), batchOf(o))
        const [slope = loss] = grad(loss, [logvar])
        return { slope }
      },
      deviation: ({ slope }) => largest(slope),
    }),
    lawOf({
      name: 'the loss of a batch is the mean of its parts',
      equation: 'L(a, b) = (L(a) + L(b)) / 2',
      source: 'linearity of the mean',
      tolerance: { float64: 1e-13, float32: 1e-5 },
      arbitrary: fc.record({ a: occasions(0), x0: numbers, eps: numbers, norm }),
      outputs: ({ a: { s, t, said, ...a }, x0, eps, norm: n }) => {
        const says = denoiser('eps', (xt) => pipe(xt, mul(rows(said))))
        const of = (xs: readonly (readonly number[])[], es: readonly (readonly number[])[]): Tensor =>
          ddpmLoss(s, { norm: n })(says, { x0: rows(...xs), eps: rows(...es), t: everywhere(t, xs.length) }).loss
        return { whole: of([a.x0, x0], [a.eps, eps]), first: of([a.x0], [a.eps]), second: of([x0], [eps]) }
      },
      deviation: (r) => gap(r.whole, [(total(r.first) + total(r.second)) / 2]),
    }),
    elbo(schedules),
  ]
}

const autoencoders = fc.record({ x: numbers, y: numbers, mean: numbers, logvar: numbers, klWeight: real(0, 2) })
const kl: readonly Law[] = [
  lawOf({
    name: 'a perfect autoencoder at the prior loses nothing',
    equation: 'L(x, x, N(0, I)) = 0',
    source: 'Kingma and Welling 2014, equation 3',
    tolerance: { float64: 1e-14, float32: 1e-6 },
    arbitrary: autoencoders,
    outputs: ({ x, klWeight }) => {
      const zeros = rows(x.map(() => 0))
      const { loss } = klAutoencoderLoss({ klWeight, l2: 0.5 })({
        inputs: rows(x),
        reconstructions: rows(x),
        posterior: gaussian(zeros, zeros),
      })
      return { loss }
    },
    deviation: (r) => gap(r.loss, [0]),
  }),
  law({
    name: 'with squares and variance 1 the loss is the negative ELBO',
    equation: "1/2 |x - x'|^2 + KL = -log N(x; x', I) - D/2 log 2 pi + KL",
    source: 'Kingma and Welling 2014, equation 10',
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: autoencoders,
    deviation: ({ x, y, mean, logvar }, { ask }) => {
      const { loss } = klAutoencoderLoss({ klWeight: 1, l1: 0, l2: 0.5, logvar: scalar(0) })({
        inputs: rows(x),
        reconstructions: rows(y),
        posterior: gaussian(rows(mean), rows(logvar)),
      })
      const squares = total(x.map((a, i) => (a - (y[i] ?? Number.NaN)) ** 2))
      const divergence = total(mean.map((m, i) => m * m + Math.exp(logvar[i] ?? 0) - 1 - (logvar[i] ?? 0)))
      return pipe(
        ask({ loss }),
        TE.map((r) => gap(r.loss, [(squares + divergence) / 2])),
      )
    },
  }),
  lawOf({
    name: 'the loss of a KL autoencoder is sums over its parts, an item, and logs the means and sums of each',
    equation: "nll = sum((l1 |d| + l2 d^2 + p) / e^s + s) / N, L = nll + w_KL KL / N, d = x - x'",
    source: 'CompVis latent-diffusion, contperceptual.py: rec_loss, nll_loss, kl_loss',
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: fc.record({
      ...{ a: autoencoders, b: autoencoders, l1: real(0, 2), l2: fc.constantFrom(0, 0.7), s: real(-1, 1) },
      perceptual: reals(2, 0, 1),
    }),
    outputs: ({ a, b, l1, l2, s, perceptual: [first = 0, second = 0] }) => {
      const { loss, nll, log } = klAutoencoderLoss({ klWeight: a.klWeight, l1, l2, logvar: scalar(s) })({
        inputs: rows(a.x, b.x),
        reconstructions: rows(a.y, b.y),
        posterior: gaussian(rows(a.mean, b.mean), rows(a.logvar, b.logvar)),
        perceptual: rows([first], [second]),
      })
      return { loss, nll, ...log }
    },
    deviation: (found, { a, b, l1, l2, s, perceptual }) => {
      const errors = [a, b].flatMap(({ x, y }, item) =>
        x.map((v, i) => {
          const d = Math.abs(v - (y[i] ?? Number.NaN))
          return l1 * d + l2 * d * d + (perceptual[item] ?? Number.NaN)
        }),
      )
      const nll = total(errors.map((e) => e / Math.exp(s) + s)) / 2
      const divergence = total(
        [a, b].flatMap(({ mean, logvar }) =>
          mean.map((m, i) => (m * m + Math.exp(logvar[i] ?? 0) - 1 - (logvar[i] ?? 0)) / 4),
        ),
      )
      return Math.max(
        gap(found.loss, [nll + a.klWeight * divergence]),
        gap(found.total_loss, found.loss),
        gap([...found.nll, ...found.nll_loss], [nll, nll]),
        gap(found.kl_loss, [divergence]),
        gap(found.rec_loss, [total(errors) / errors.length]),
        gap(found.logvar, [s]),
      )
    },
  }),
  lawOf({
    name: 'weights of pixels count in the loss, not in what weighs the contest',
    equation: "L = sum w (|x - x'| / e^s + s) + KL; nll is that of w = 1",
    source: 'CompVis latent-diffusion, contperceptual.py: weighted_nll_loss',
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: fc.record({ parts: autoencoders, weights: reals(dimensions, 0, 3), s: real(-1, 1) }),
    outputs: ({ parts: { x, y, mean, logvar }, weights, s }) => {
      const of = (more: { readonly weights?: Tensor }) =>
        klAutoencoderLoss({ klWeight: 0, logvar: scalar(s) })({
          ...{ inputs: rows(x), reconstructions: rows(y), posterior: gaussian(rows(mean), rows(logvar)) },
          ...more,
        })
      const weighed = of({ weights: rows(weights) })
      return { loss: weighed.loss, nll: weighed.nll, logged: weighed.log.nll_loss, plain: of({}).loss }
    },
    deviation: (r, { parts: { x, y }, weights, s }) => {
      const surprise = x.map((a, i) => Math.abs(a - (y[i] ?? Number.NaN)) / Math.exp(s) + s)
      const expected = total(surprise.map((v, i) => v * (weights[i] ?? Number.NaN)))
      return Math.max(gap(r.loss, [expected]), gap(r.nll, r.plain), gap(r.logged, r.plain))
    },
  }),
]
const vq: readonly Law[] = [
  lawOf({
    name: 'a quantising autoencoder loses the means of three parts, two of them weighed',
    equation: "L = mean(|x - x'|^n + w_p p) + w_q mean(q); p is logged as it is without its weight",
    source: 'CompVis latent-diffusion, vqperceptual.py VQLPIPSWithDiscriminator: perceptual_weight, codebook_weight',
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: fc.record({
      ...{ x: numbers, y: numbers, norm, codebookLoss: reals(4, 0, 2), perceptual: real(0, 2) },
      ...{ codebookWeight: real(0, 3), perceptualWeight: real(0, 3) },
    }),
    outputs: ({ x, y, codebookLoss, perceptual, ...objective }) => {
      const { loss, nll, log } = vqAutoencoderLoss(objective)({
        inputs: rows(x),
        reconstructions: rows(y),
        codebookLoss: vector(codebookLoss),
        perceptual: rows([perceptual]),
      })
      const bare = vqAutoencoderLoss(objective)({ inputs: rows(x), reconstructions: rows(y) })
      return { loss, nll, ...log, bare: bare.loss, none: bare.log.p_loss, still: bare.log.quant_loss }
    },
    deviation: (found, { x, y, norm: n, codebookLoss, perceptual, codebookWeight, perceptualWeight }) => {
      const errors = x.map((a, i) => Math.abs(a - (y[i] ?? Number.NaN)) ** { l1: 1, l2: 2 }[n])
      const [pixels, codes] = [total(errors) / errors.length, total(codebookLoss) / codebookLoss.length]
      const nll = pixels + perceptualWeight * perceptual
      return Math.max(
        gap(found.loss, [nll + codebookWeight * codes]),
        gap(found.total_loss, found.loss),
        gap([...found.nll, ...found.nll_loss, ...found.rec_loss], [nll, nll, nll]),
        gap(found.p_loss, [perceptual]),
        gap(found.quant_loss, [codes]),
        gap([...found.bare, ...found.none, ...found.still], [pixels, 0, 0]),
      )
    },
  }),
]

/** The laws of an autoencoder's loss, by its kind. */
export const autoencoderLaws = { kl, vq } as const

/** This library's losses. */
export const lossLaws: readonly Law[] = [distances, ...objectiveLaws(noiseSchedules), ...kl, ...vq]
