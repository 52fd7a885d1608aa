import fc from 'fast-check'
import {
  add,
  constant,
  gather,
  integers,
  mul,
  scalar,
  square,
  sub,
  sum,
  type Tensor,
  tanh,
  vector,
} from '../declare/index.ts'
import { float } from '../graph/types.ts'
import { adaptiveWeight, lambda, normRatio } from '../losses/adaptive-weight.ts'
import {
  adversarialKinds,
  discriminatorLoss,
  generatorLoss,
  r1Penalty,
  weighedDiscriminatorLoss,
} from '../losses/adversarial.ts'
import { discriminatorTurn, generatorTurn } from '../losses/turns.ts'
import { pipe, TE } from '../prelude.ts'
import { grad } from '../transform/index.ts'
import { type Law, law, lawOf } from './law.ts'
import { gap, largest, real, reals, rows, shortfall, total } from './numbers.ts'

const kind = fc.constantFrom(...adversarialKinds)
const size = 4
const numbers = reals(size, -2, 2)
const lengthOf = (xs: readonly number[]): number => Math.hypot(...xs)
const inner = (xs: readonly number[], ys: readonly number[]): number =>
  total(xs.map((x, i) => x * (ys[i] ?? Number.NaN)))

/** The best a discriminator can do, and what one that sees no difference loses, for each loss. */
const valueAtZero = { hinge: 1, vanilla: Math.log(2) } as const

const contest: readonly Law[] = [
  lawOf({
    name: 'a discriminator that sees no difference loses a fixed amount',
    equation: 'L_D(0, 0) = 1 (hinge), log 2 (vanilla); L_G(0) = 0',
    source: 'Goodfellow et al. 2014, theorem 1, halved; Lim and Ye 2017, section 3',
    tolerance: { float64: 1e-14, float32: 1e-6 },
    arbitrary: fc.record({ kind, count: fc.integer({ min: 1, max: 5 }) }),
    outputs: ({ kind: k, count }) => {
      const zeros = constant([0], float(count))
      return { d: discriminatorLoss(k)({ real: zeros, fake: zeros }), g: generatorLoss(zeros) }
    },
    deviation: (r, { kind: k }) => Math.max(gap(r.d, [valueAtZero[k]]), gap(r.g, [0])),
  }),
  law({
    name: 'a discriminator that is always right loses nothing',
    equation: 'L_D(real, fake) -> 0 as real -> inf, fake -> -inf; for hinge from 1 and -1 on',
    source: 'the same',
    tolerance: { float64: 0, float32: 1e-6 },
    arbitrary: fc.record({ real: reals(size, 1, 30), fake: reals(size, 1, 30) }),
    deviation: ({ real: r, fake }, { ask }) => {
      const sure = { real: vector(r), fake: vector(fake.map((x) => -x)) }
      const least = Math.min(...r, ...fake)
      return pipe(
        ask({ hinge: discriminatorLoss('hinge')(sure), vanilla: discriminatorLoss('vanilla')(sure) }),
        TE.map((found) => Math.max(gap(found.hinge, [0]), total(found.vanilla) - Math.log1p(Math.exp(-least)) - 1e-15)),
      )
    },
  }),
  lawOf({
    name: 'real and fake are one task with its sign changed',
    equation: 'L_D(real, fake) = L_D(-fake, -real) >= 0',
    source: 'the symmetry of hinge and log sigmoid',
    tolerance: { float64: 1e-14, float32: 1e-6 },
    arbitrary: fc.record({ kind, real: reals(size, -5, 5), fake: reals(size, -5, 5) }),
    outputs: ({ kind: k, real: r, fake }) => ({
      there: discriminatorLoss(k)({ real: vector(r), fake: vector(fake) }),
      back: discriminatorLoss(k)({ real: vector(fake.map((x) => -x)), fake: vector(r.map((x) => -x)) }),
    }),
    deviation: ({ there, back }) => Math.max(gap(there, back), shortfall(there)),
  }),
  lawOf({
    name: 'a generator wants to be taken for real, as much at every logit',
    equation: 'L_G(fake + c) = L_G(fake) - c, dL_G/dfake = -1/n',
    source: 'Lim and Ye 2017, section 3; CompVis latent-diffusion, contperceptual.py: g_loss',
    tolerance: { float64: 1e-14, float32: 1e-5 },
    arbitrary: fc.record({ fake: reals(size, -5, 5), c: real(-3, 3) }),
    outputs: ({ fake, c }) => {
      const logits = vector(fake)
      const own = generatorLoss(logits)
      const [slope = own] = grad(own, [logits])
      return { own, raised: generatorLoss(pipe(logits, add(c))), slope }
    },
    deviation: ({ own, raised, slope }, { c }) =>
      Math.max(
        gap(
          raised,
          own.map((x) => x - c),
        ),
        gap(
          slope,
          slope.map(() => -1 / size),
        ),
      ),
  }),
  lawOf({
    name: 'a picture that weighs twice counts as two',
    equation: 'L_D(w) = (sum w l(real) / sum w + sum w l(-fake) / sum w) / 2; weights all alike are none',
    source: 'CompVis latent-diffusion, ldm/modules/losses/vqperceptual.py: hinge_d_loss_with_exemplar_weights',
    tolerance: { float64: 1e-13, float32: 1e-5 },
    arbitrary: fc.record({
      ...{ kind, real: reals(2 * size, -5, 5), fake: reals(2 * size, -5, 5) },
      ...{ times: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: size, maxLength: size }), unit: real(0.1, 5) },
    }),
    outputs: ({ kind: k, real: r, fake, times, unit }) => {
      const maps = (xs: readonly number[], items: readonly number[]): Tensor =>
        rows(...items.map((i) => xs.slice(2 * i, 2 * i + 2)))
      const [once, each] = [times.map((_, i) => i), times.flatMap((t, i) => Array.from({ length: t }, () => i))]
      const judged = { real: maps(r, once), fake: maps(fake, once) }
      return {
        weighed: weighedDiscriminatorLoss(k, vector(times.map((t) => unit * t)))(judged),
        repeated: discriminatorLoss(k)({ real: maps(r, each), fake: maps(fake, each) }),
      }
    },
    deviation: ({ weighed, repeated }) => gap(weighed, repeated),
  }),
  lawOf({
    name: 'the best logit is the log of the odds',
    equation: 'd L_D / d logit(x) = 0 at log p(x)/q(x), vanilla',
    source: 'Goodfellow et al. 2014, proposition 1',
    tolerance: { float64: 1e-14, float32: 1e-6 },
    arbitrary: fc.record({ real: fc.array(fc.nat(2), { maxLength: 6 }), fake: fc.array(fc.nat(2), { maxLength: 6 }) }),
    outputs: ({ real: r, fake }) => {
      const [p, q] = [
        [0, 1, 2, ...r],
        [0, 1, 2, ...fake],
      ]
      const share = (xs: readonly number[], k: number): number => xs.filter((x) => x === k).length / xs.length
      const logits = vector([0, 1, 2].map((k) => Math.log(share(p, k) / share(q, k))))
      const judged = { real: pipe(logits, gather(integers(p))), fake: pipe(logits, gather(integers(q))) }
      const [slope = logits] = grad(discriminatorLoss('vanilla')(judged), [logits])
      return { slope }
    },
    deviation: ({ slope }) => largest(slope),
  }),
  lawOf({
    name: 'R1 of a linear discriminator is its squared length',
    equation: "E |d(w'x)/dx|^2 = |w|^2, with gradient 2w",
    source: 'Mescheder et al. 2018, equation 9',
    tolerance: { float64: 1e-13, float32: 1e-5 },
    arbitrary: fc.record({ w: numbers, x: numbers, y: numbers }),
    outputs: ({ w, x, y }) => {
      const [weight, pictures] = [vector(w), rows(x, y)]
      const penalty = r1Penalty(pipe(pictures, mul(weight), sum({ axes: [1] })), pictures)
      const [slope = penalty] = grad(penalty, [weight])
      return { penalty, slope }
    },
    deviation: (found, { w }) =>
      Math.max(
        gap(found.penalty, [total(w.map((v) => v * v))]),
        gap(
          found.slope,
          w.map((v) => 2 * v),
        ),
      ),
  }),
]

const norms = fc.record({ a: real(0.01, 50), b: real(0.01, 50), s: real(0.1, 10) })
const soft = 1e-4
const weight = 0.5

const weights: readonly Law[] = [
  lawOf({
    name: 'lambda is proportional to the first norm, inverse to the second',
    equation: 'lambda(s a, b) = s lambda(a, b); with |b| + 1e-4 scaled by s: lambda / s, and with both: lambda',
    source: 'Esser et al. 2021, equation 7',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: norms,
    outputs: ({ a, b, s }) => {
      const of = (x: number, y: number): Tensor => lambda({ weight, cap: 1e9 })(scalar(x), scalar(y))
      const scaled = s * (b + soft) - soft
      return { own: of(a, b), first: of(s * a, b), second: of(a, scaled), both: of(s * a, scaled) }
    },
    deviation: ({ own, first, second, both }, { s }) =>
      Math.max(
        gap(
          first,
          own.map((x) => s * x),
        ),
        gap(
          second.map((x) => s * x),
          own,
        ),
        gap(both, own),
      ),
  }),
  lawOf({
    name: 'lambda is bounded',
    equation: '0 <= lambda(a, b) <= cap weight, also at b = 0',
    source: 'CompVis taming-transformers, vqperceptual.py calculate_adaptive_weight',
    tolerance: { float64: 0, float32: 1e-6 },
    arbitrary: fc.record({ a: real(0, 1000), b: fc.oneof(fc.constant(0), real(0, 1)), cap: real(0, 100) }),
    outputs: ({ a, b, cap }) => ({
      found: lambda({ weight, cap })(scalar(a), scalar(b)),
      ratio: normRatio(cap)(scalar(a), scalar(b)),
    }),
    deviation: ({ found, ratio }, { cap }) =>
      Math.max(shortfall(found), total(found) - cap * weight, gap(found, [total(ratio) * weight])),
  }),
]

const slopes = (loss: Tensor, wrt: Tensor): Tensor => grad(loss, [wrt])[0] ?? loss
/** A decoder of one weight a pixel, a discriminator that is not linear, and both turns. */
const scene = (
  { z, x, w, v }: Readonly<Record<'z' | 'x' | 'w' | 'v', readonly number[]>>,
  { scale = 1, r1 = 0, factor = 1 }: Partial<Readonly<Record<'scale' | 'r1' | 'factor', number>>> = {},
) => {
  const [lastLayer, direction, inputs] = [vector(w), vector(v), rows(x, z)]
  const judge = (y: Tensor) => ({ y: pipe(y, mul(direction), sum({ axes: [1] }), tanh), buffers: {} })
  const reconstructions = pipe(rows(z, x), mul(lastLayer))
  const nll = pipe(reconstructions, sub(inputs), square, sum(), add(1), mul(scale))
  const config = { loss: 'hinge', generator: { weight, cap: 1e9, smoothing: 0 }, r1 } as const
  const turn = { reconstructions, factor }
  const g = pipe(generatorLoss(judge(reconstructions).y), mul(scale))
  const autoencoder = { loss: nll, nll, log: {} }
  const generator = generatorTurn('', { config, judge })({ ...turn, lastLayer, autoencoder })
  return {
    lastLayer,
    nll,
    g,
    generator,
    /** What is compared at the last layer, and what comes of it. */
    compared: { nll: slopes(nll, lastLayer), g: slopes(g, lastLayer), lambda: generator.log.d_weight },
    discriminator: discriminatorTurn({ config, judge })({ ...turn, inputs }),
  }
}
const scenes = fc.record({ z: numbers, x: numbers, w: numbers, v: reals(size, 0.1, 0.5) })

const turns: readonly Law[] = [
  lawOf({
    name: 'the weight carries no gradient',
    equation: 'd(nll + lambda g) = d nll + lambda d g',
    source: 'CompVis taming-transformers, vqperceptual.py: detach',
    tolerance: { float64: 1e-12, float32: 1e-3 },
    arbitrary: scenes,
    outputs: (o) => {
      const s = scene(o)
      const own = slopes(s.generator.log.d_weight, s.lastLayer)
      return { ...s.compared, own, whole: slopes(s.generator.loss, s.lastLayer) }
    },
    deviation: ({ own, whole, nll, g, lambda: l }) =>
      Math.max(
        largest(own),
        gap(
          whole,
          nll.map((x, i) => x + total(l) * (g[i] ?? Number.NaN)),
        ),
      ),
  }),
  law({
    name: "one walk back is the reference's three",
    equation: 'd(nll + lambda(nll, g) g) in one graph = d(nll + l g), l a number found by two walks before',
    source: 'CompVis latent-diffusion, contperceptual.py: two autograd.grad, then backward',
    tolerance: { float64: 1e-12, float32: 1e-3 },
    arbitrary: scenes,
    deviation: (o, { ask }) => {
      const s = scene(o)
      return pipe(
        TE.Do,
        TE.bind('first', () => ask({ slope: slopes(s.nll, s.lastLayer) })),
        TE.bind('second', () => ask({ slope: slopes(s.g, s.lastLayer) })),
        TE.bind('third', ({ first, second }) => {
          const l = (weight * lengthOf(first.slope)) / (lengthOf(second.slope) + soft)
          return ask({ slope: slopes(pipe(s.nll, add(pipe(s.g, mul(l)))), s.lastLayer) })
        }),
        TE.bind('one', () => ask({ slope: slopes(s.generator.loss, s.lastLayer) })),
        TE.map(({ one, third }) => gap(one.slope, third.slope)),
      )
    },
  }),
  lawOf({
    name: 'at the last layer both gradients are of one length, but for the weight',
    equation: '|lambda d g| = weight |d nll| |d g| / (|d g| + 1e-4)',
    source: 'Esser et al. 2021, equation 7',
    tolerance: { float64: 1e-12, float32: 1e-3 },
    arbitrary: scenes,
    outputs: (o) => {
      const s = scene(o)
      return { ...s.compared, logged: pipe(s.generator.log.nll_grad_norm, add(s.generator.log.g_grad_norm)) }
    },
    deviation: ({ nll, g, lambda: l, logged }) => {
      const [a, b] = [lengthOf(nll), lengthOf(g)]
      return Math.max(gap([total(l) * b], [(weight * a * b) / (b + soft)]), gap(logged, [a + b]))
    },
  }),
  law({
    name: 'the adaptive weight does not care for the unit of loss',
    equation: 'lambda(s nll, s g) = lambda(nll, g), up to 1e-4 / |d g|',
    source: 'Esser et al. 2021, equation 7',
    tolerance: { float64: 1e-6, float32: 1e-3 },
    arbitrary: fc.record({ scene: scenes, s: real(1, 10) }),
    deviation: ({ scene: o, s }, { ask }) => {
      const large = 1e6
      const of = (scale: number): Tensor => {
        const { nll, g, lastLayer } = scene(o, { scale })
        return adaptiveWeight('', { weight, cap: 1e9, smoothing: 0 })({ nll, g, lastLayer }).weight
      }
      return pipe(
        ask({ own: of(large), scaled: of(large * s), g: slopes(scene(o).g, scene(o).lastLayer) }),
        TE.map(({ own, scaled, g }) => (lengthOf(g) < 1e-2 ? 0 : gap(scaled, own))),
      )
    },
  }),
  lawOf({
    name: "the discriminator's turn is its contest with half of gamma R1, counted as much",
    equation:
      'L = f (L_D + gamma / 2 E |dD/dx|^2) over real pictures; without gamma L = f L_D, and no slope is asked for',
    source: 'Mescheder et al. 2018, equation 9; CompVis latent-diffusion, contperceptual.py: disc_factor',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: fc.record({ scene: scenes, r1: fc.constantFrom(0, 0.5, 10), factor: fc.constantFrom(0, 0.3, 1) }),
    outputs: ({ scene: o, r1, factor }) => {
      const { loss, log } = scene(o, { r1, factor }).discriminator
      return { loss, ...log }
    },
    deviation: (found, { scene: { x, z, w, v }, r1, factor }) => {
      const judged = (picture: readonly number[]): number => Math.tanh(inner(picture, v))
      const [real, fake] = [[x, z].map(judged), [z, x].map((y) => judged(y.map((p, i) => p * (w[i] ?? Number.NaN))))]
      const average = (xs: readonly number[]): number => total(xs) / xs.length
      const contest = (average(real.map((d) => 1 - d)) + average(fake.map((d) => 1 + d))) / 2
      const penalty = average(real.map((d) => (1 - d * d) ** 2)) * inner(v, v)
      return Math.max(
        gap(found.disc_loss, [factor * contest]),
        gap(found.loss, [factor * (contest + (r1 / 2) * penalty)]),
        gap(found.r1_penalty, [r1 === 0 ? 0 : penalty]),
        gap(found.logits_real, [average(real)]),
        gap(found.logits_fake, [average(fake)]),
      )
    },
  }),
  lawOf({
    name: "the autoencoder's turn is its own loss with the weighed contest, counted as much",
    equation: 'L = L_AE + f lambda L_G; lambda is logged as it is without f',
    source: 'CompVis latent-diffusion, contperceptual.py: d_weight * disc_factor * g_loss',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: fc.record({ scene: scenes, factor: fc.constantFrom(0, 0.3, 1) }),
    outputs: ({ scene: o, factor }) => {
      const s = scene(o, { factor })
      const whole = scene(o, { factor: 1 })
      const { loss, log } = s.generator
      return { loss, own: s.nll, g: s.g, whole: whole.generator.log.d_weight, ...log }
    },
    deviation: (found, { factor }) =>
      Math.max(
        gap(found.loss, [total(found.own) + factor * total(found.whole) * total(found.g)]),
        gap(found.total_loss, found.loss),
        gap(found.g_loss, found.g),
        gap(found.d_weight, found.whole),
        gap(found.disc_factor, [factor]),
      ),
  }),
  lawOf({
    name: 'the turns do not touch each other',
    equation: 'd L_D / d generator = 0',
    source: 'CompVis latent-diffusion, contperceptual.py: detach',
    tolerance: { float64: 0, float32: 0 },
    arbitrary: scenes,
    outputs: (o) => {
      const s = scene(o)
      return { slope: slopes(s.discriminator.loss, s.lastLayer) }
    },
    deviation: ({ slope }) => largest(slope),
  }),
]

/** Laws of the contest, of its adaptive weight, and of the two turns. */
export const adversarialLaws: readonly Law[] = [...contest, ...weights, ...turns]
