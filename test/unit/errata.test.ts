import { describe, expect, test } from 'vitest'
import {
  add,
  diffusion,
  div,
  exp,
  float,
  floats,
  gaussian,
  grad,
  input,
  type learningRates,
  lint,
  log,
  losses,
  mul,
  neg,
  nn,
  noiseSchedules,
  parameter,
  pipe,
  reshape,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  trainingStep,
  vector,
} from '../../src/index.ts'
import { everywhere, rows } from '../../src/laws/numbers.ts'
import { compVisScheduleValues, noiseScheduleFromCompVis } from '../../src/schedulers/compvis.ts'
import { loadedState } from '../../src/train/state.ts'
import { evaluate, right } from '../arbitrary/run.ts'

/** docs/errata.md, row by row: the right form from our functions on the reference executor, and how the note's differs. */

const numbers = async <K extends string>(outputs: Readonly<Record<K, Tensor>>) => {
  const found = await evaluate(outputs, {})
  return (name: K): readonly number[] => Array.from(found[name]?.data ?? [])
}
const number = async (x: Tensor): Promise<number> => (await numbers({ x: pipe(x, reshape()) }))('x')[0] ?? Number.NaN

const total = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0)
const T = 8
const s = right(noiseSchedules.noiseSchedule({ kind: 'linear', timesteps: T, betaStart: 0.05, betaEnd: 0.4 }))
const at = (column: readonly number[], t: number): number => column[t] ?? Number.NaN
/** log N(x; mean, variance) */
const logDensity = (x: number, mean: number, variance: number): Tensor =>
  pipe(gaussian.gaussian(rows([mean]), rows([Math.log(variance)])), gaussian.nll(rows([x])), neg)

describe('the forward process and its bound (note 004)', () => {
  test('posterior mean, line 103: a product, x_0, and the second denominator', async () => {
    const [t, x0, z] = [4, 1.3, -0.4]
    const [a, b, bar, before] = [at(s.alphas, t), at(s.betas, t), at(s.alphasCumprod, t), at(s.alphasCumprod, t - 1)]
    const precision = a / b + 1 / (1 - before)
    const bayes = ((Math.sqrt(a) / b) * z + (Math.sqrt(before) / (1 - before)) * x0) / precision
    const q = diffusion.qPosterior(s, { x0: rows([x0]), xt: rows([z]), t: everywhere(t, 1) })
    expect(await number(q.mean)).toBeCloseTo(bayes, 12)
    expect(await number(q.variance)).toBeCloseTo(1 / precision, 12)
    const noteZ = (Math.sqrt(a) - (1 - before)) / (1 - bar)
    const noteX0 = Math.sqrt(before) * b
    expect(Math.abs(noteZ * z + noteX0 - bayes)).toBeGreaterThan(0.1)
    expect(Math.abs(noteZ - at(s.posteriorMeanCoef2, t))).toBeGreaterThan(0.1)
    expect(noteX0 * x0).not.toBeCloseTo(at(s.posteriorMeanCoef1, t) * x0, 2)
  })
  test('posterior variance, line 116: it is 0 at the first step, so its logarithm is clipped', async () => {
    const q = diffusion.qPosterior(s, { x0: rows([1]), xt: rows([1]), t: everywhere(0, 1) })
    const found = await numbers({ kept: q.logVariance, note: log(q.variance) })
    expect(found('kept')[0]).toBeCloseTo(Math.log(1e-20), 9)
    expect(found('note')).toEqual([-Infinity])
  })
  test('ELBO, lines 74 to 86: log(p / q), not log(p / log q)', async () => {
    const [p, q] = [logDensity(0.7, 0, 1), logDensity(0.7, 1, 0.5)]
    const found = await numbers({
      ratio: pipe(exp(p), div(exp(q)), log),
      right: pipe(p, sub(q)),
      note: log(pipe(exp(p), div(q))),
    })
    expect(found('ratio')[0]).toBeCloseTo(found('right')[0] ?? Number.NaN, 12)
    expect(found('note')).toEqual([Number.NaN])
  })
  test('ELBO, lines 82 to 93: the sum telescopes to log q(z_1) - log q(z_N)', async () => {
    const z = [0.9, 0.2, -0.5, 1.1, -0.3, 0.4, 0.8, -1.2]
    const logs = await Promise.all(
      z.map((x, t) => number(logDensity(x, at(s.sqrtAlphasCumprod, t), 1 - at(s.alphasCumprod, t)))),
    )
    const telescoped = total(logs.slice(1).map((own, i) => at(logs, i) - own))
    expect(telescoped).toBeCloseTo(at(logs, 0) - at(logs, T - 1), 12)
    for (let n = 1; n < T - 1; n++) expect(telescoped).not.toBeCloseTo(at(logs, 0) - at(logs, n), 3)
  })
  test('ELBO, lines 95 and 99: the KL terms are functions of z_n, and stand under its expectation', async () => {
    const t = 3
    const batch = { x0: rows([0.5], [0.5]), eps: rows([1], [-1]), t: everywhere(t, 2) }
    const says = diffusion.denoiser('eps', (xt) => pipe(xt, mul(0.3)))
    const xt = diffusion.qSample(s, batch)
    const guess = diffusion.predictStartFromNoise(s, { xt, t: batch.t, eps: says(xt, batch.t) })
    const posterior = (x0: Tensor) => {
      const { mean, logVariance } = diffusion.qPosterior(s, { x0, xt, t: batch.t })
      return gaussian.gaussian(mean, logVariance)
    }
    const bound = diffusion.ddpmLoss(s, { simpleWeight: 0, vlbWeight: 1 })(says, batch).loss
    const found = await numbers({ kl: pipe(posterior(batch.x0), gaussian.kl(posterior(guess))), bound })
    const [up = 0, down = 0] = found('kl')
    expect(Math.abs(up - down)).toBeGreaterThan(0.1)
    expect(found('bound')[0]).toBeCloseTo((up + down) / 2, 12)
  })
  test('L_simple, line 137: without the weight beta^2 / (2 sigma^2 a (1 - abar)) it is not the bound', async () => {
    const weight = (t: number): number =>
      at(s.betas, t) ** 2 / (2 * at(s.posteriorVariance, t) * at(s.alphas, t) * (1 - at(s.alphasCumprod, t)))
    for (let t = 1; t < T; t++) expect(at(s.vlbWeights.eps, t)).toBeCloseTo(weight(t), 12)
    const batch = { x0: rows([0.5], [-1]), eps: rows([1], [0.2]), t: everywhere(2, 2) }
    const { log: logged } = diffusion.ddpmLoss(s)(
      diffusion.denoiser('eps', (xt) => xt),
      batch,
    )
    const found = await numbers(logged)
    expect(found('loss_vlb')[0]).toBeCloseTo(weight(2) * at(found('loss_simple'), 0), 12)
    expect(at(s.vlbWeights.eps, 1) / at(s.vlbWeights.eps, T - 1)).toBeGreaterThan(2)
  })
  test('guidance, line 178, which gives no formula: e_u + s (e_c - e_u)', async () => {
    const says = (value: number) => diffusion.denoiser('eps', () => rows([value]))
    const guided = (scale: number) => number(diffusion.guide(scale)(says(2), says(0.5))(rows([0]), everywhere(0, 1)))
    expect(await Promise.all([0, 1, 3].map(guided))).toEqual([0.5, 2, 5])
  })
})

describe('Gaussians (notes 000, 001, 003)', () => {
  const [mean, logvar, x] = [
    [1, -0.5, 0.2],
    [0.5, -1, 0.1],
    [0.3, 0.4, -2],
  ] as const
  const d = gaussian.gaussian(rows(mean), rows(logvar))
  const variances = logvar.map(Math.exp)

  test('KL of the VAE, 003 line 245: the sign', async () => {
    const m = rows(mean)
    const ofMean = (mu: Tensor): Tensor => pipe(gaussian.gaussian(mu, rows(logvar)), gaussian.kl(), sum())
    const [slope = m] = grad(ofMean(m), [m])
    const found = await numbers({ kl: ofMean(m), slope })
    const note = 0.5 * total(mean.map((mu, i) => 1 + at(logvar, i) - mu * mu - at(variances, i)))
    expect(found('kl')[0]).toBeCloseTo(-note, 12)
    expect(found('kl')[0]).toBeGreaterThan(0)
    mean.forEach((mu, i) => {
      expect(found('slope')[i], 'descent goes to the prior; by the note away from it').toBeCloseTo(mu, 12)
    })
  })
  test('the prior, 003 line 506: N(0, I), not U(0, 1)', async () => {
    const kl = (a: gaussian.DiagonalGaussian, b?: gaussian.DiagonalGaussian) => number(pipe(a, gaussian.kl(b)))
    const prior = gaussian.standardNormal([1, 3])
    expect(await kl(d)).toBeCloseTo(await kl(d, prior), 12)
    expect(await kl(prior)).toBe(0)
    const likeUniform = gaussian.gaussian(rows([0.5, 0.5, 0.5]), rows([1, 1, 1].map(() => Math.log(1 / 12))))
    expect(await kl(likeUniform)).toBeGreaterThan(1)
  })
  test('KL of two Gaussians, 000 line 56 and 001 line 55: the sum brackets all terms', async () => {
    const own = await number(pipe(d, gaussian.kl(d)))
    const note = 0.5 * total(mean.map(() => 1)) - 1 + Math.log(1)
    expect(own).toBe(0)
    expect(note).toBe(0.5)
  })
  test('NLL, 000 lines 64 to 66 and 001 lines 63 to 65: each element has its own mean and variance', async () => {
    const own = await number(pipe(d, gaussian.nll(rows(x))))
    const terms = x.map((xi, i) => Math.log(2 * Math.PI) + at(logvar, i) + (xi - at(mean, i)) ** 2 / at(variances, i))
    expect(own).toBeCloseTo(0.5 * total(terms), 12)
    const [n, mu, variance] = [3, total(x) / 3, total(variances) / 3]
    const spread = total(x.map((xi) => (xi - mu) ** 2))
    const note = (n / 2) * Math.log(2 * Math.PI) + (n / 2) * Math.log(variance) + spread / (2 * variance)
    expect(Math.abs(note - own)).toBeGreaterThan(0.5)
  })
  test('what is split in two, 000 line 48 and 001 line 47: the moments of the encoder, not z', () => {
    const posterior = gaussian.diagonalGaussian(input('moments', float(1, 8, 2, 2)))
    const z = pipe(posterior, gaussian.sample(input('noise', float(1, 4, 2, 2))))
    expect([posterior.mean.shape, posterior.logvar.shape, z.shape]).toEqual([1, 2, 3].map(() => [1, 4, 2, 2]))
  })
  test('the clamp of log-variances, 000 line 12: no gradient flows outside [-30, 20]', async () => {
    const raw = rows([-31, -30, 0, 20, 21])
    const [slope = raw] = grad(pipe(gaussian.gaussian(rows([0, 0, 0, 0, 0]), raw).logvar, sum()), [raw])
    expect((await numbers({ slope }))('slope')).toEqual([0, 1, 1, 1, 0])
  })
})

describe('the loss of the autoencoder (notes 000, 003)', () => {
  const picture = (value: number): Tensor => pipe(vector(Array.from({ length: 12 }, () => value)), reshape(1, 3, 2, 2))
  const latents = gaussian.gaussian(rows([0]), rows([0]))
  const lossOf = (objective: Partial<losses.KlAutoencoderObjective>, given: Partial<losses.Reconstruction> = {}) =>
    losses.klAutoencoderLoss({ klWeight: 1, ...objective })({
      inputs: picture(0.25),
      reconstructions: picture(0),
      posterior: latents,
      ...given,
    })
  const nll = (...args: Parameters<typeof lossOf>) => number(lossOf(...args).nll)

  test('KL, 000 line 182: it regularises latents, not weights', async () => {
    const weight = parameter('decoder', 'weight', [], { kind: 'ones' })
    const z = rows([0.7])
    const reconstructions = pipe(picture(1), mul(pipe(z, mul(weight), reshape())))
    const { log: logged } = lossOf({}, { reconstructions, posterior: gaussian.gaussian(z, rows([0])) })
    const [ofWeight = z, ofLatents = z] = grad(logged.kl_loss, [weight, z])
    const found = await evaluate({ ofWeight, ofLatents }, { 'decoder.weight': floats([], Float64Array.of(1)) })
    expect(found.ofWeight?.data[0]).toBe(0)
    expect(found.ofLatents?.data[0]).toBeCloseTo(0.7, 12)
  })
  test('`pixel_weight`, 000 line 79 and 003 line 319: unused there; here the pixel term has its weight', async () => {
    expect(await nll({})).toBeCloseTo(3, 12)
    expect(await nll({ l1: 2 })).toBeCloseTo(6, 12)
  })
  test('LPIPS of a picture, 000 line 114 and 003 line 368: added at every element, so C H W times', async () => {
    const perceptual = pipe(vector([0.5]), reshape(1, 1, 1, 1))
    expect((await nll({}, { perceptual })) - (await nll({}))).toBeCloseTo(0.5 * 3 * 2 * 2, 12)
  })
  test('`logvar`, 003 lines 187 to 191: in no optimiser there; here it is trained when it is declared', () => {
    const logvar = parameter('loss', 'logvar', [], { kind: 'zeros' })
    const scale = parameter('decoder', 'scale', [], { kind: 'ones' })
    const loss = lossOf({ logvar }, { reconstructions: pipe(picture(1), mul(scale)) })
    const rate: learningRates.LearningRate<'constant'> = { kind: 'constant', rate: 0.1 }
    const step = right(
      trainingStep(loss, {
        steps: 1,
        optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
        learningRate: rate,
      }),
    )
    expect(step.intent.optimizers.optimizer?.toSorted()).toEqual(['decoder.scale', 'loss.logvar'])
    expect(lint(step.declared, step.intent)).toEqual([])
    const forgotten = lint(step.declared, { ...step.intent, optimizers: { optimizer: ['decoder.scale'] } })
    expect(forgotten).toMatchObject([{ at: 'loss.logvar', expected: 'exactly one optimiser', got: 'none' }])
  })
})

describe('what the reference does and no note says', () => {
  test('"linear" is linear in sqrt(beta), "sqrt_linear" in beta', () => {
    const betas = (beta_schedule: string): readonly number[] =>
      right(compVisScheduleValues({ beta_schedule, timesteps: 9, linear_start: 0.01, linear_end: 0.25 }))[
        'f64.betas'
      ] ?? []
    const bends = (xs: readonly number[]): number =>
      xs.slice(2).reduce((worst, x, i) => Math.max(worst, Math.abs(x - 2 * at(xs, i + 1) + at(xs, i))), 0)
    expect(bends(betas('linear').map(Math.sqrt))).toBeLessThan(1e-12)
    expect(bends(betas('linear'))).toBeGreaterThan(1e-3)
    expect(bends(betas('sqrt_linear'))).toBeLessThan(1e-12)
    expect(right(noiseScheduleFromCompVis({ beta_schedule: 'linear' })).kind).toBe('scaled-linear')
  })
  test('the weight of the bound for predictions of x_0 is (SNR_{t-1} - SNR_t) / 2, not 0.5 sqrt(abar) / (2 - abar)', () => {
    for (let t = 1; t < T; t++) {
      const own = at(s.vlbWeights.x0, t)
      const slip = (0.5 * Math.sqrt(at(s.alphasCumprod, t))) / (2 * 1 - at(s.alphasCumprod, t))
      expect(own).toBeCloseTo((at(s.snr, t - 1) - at(s.snr, t)) / 2, 12)
      expect(at(s.referenceVlbWeights.x0, t)).toBeCloseTo(slip, 6)
      expect(Math.abs(own - slip)).toBeGreaterThan(1e-3)
    }
  })
  test('`strict=False`, 002 line 123 and 003 line 80: here an array that is not in the file is an error', () => {
    const weight = { dtype: 'float32', shape: [1], data: Float32Array.of(1) } as const
    const like = { 'conv.weight': weight, 'conv.bias': weight }
    const loaded = loadedState('weights', { parameters: { 'conv.weight': weight, 'cnov.bias': weight } }, like)
    expect(loaded).toMatchObject({
      left: [
        { at: 'weights: cnov.bias', expected: 'no such array' },
        { at: 'weights: conv.bias', got: 'nothing' },
      ],
    })
  })
})

describe('LPIPS (note 002)', () => {
  const features = (...perChannel: readonly number[]): Tensor =>
    pipe(vector(perChannel), reshape(1, perChannel.length, 1, 1))
  const weigh = (x: Tensor): Tensor => pipe(x, sum({ axes: [1], keepDims: true }))

  test('line 43: unit-normalised features are subtracted and squared before they are weighed', async () => {
    const [a, b] = [features(3, 4), features(4, 3)]
    const unit = nn.unitNormalize
    const own = pipe(a, nn.featureDistance(weigh)(b))
    const note = pipe(weigh(unit(a)), sub(weigh(unit(b))))
    expect(await number(own)).toBeCloseTo(2 * 0.2 ** 2, 9)
    expect(await number(note)).toBeCloseTo(0, 9)
  })
  test('line 146: x / (sqrt(sum_c x^2) + 1e-10), whose slope at 0 stays finite', async () => {
    const [x, zero] = [features(3, 4), features(0, 0)]
    const naive = (y: Tensor): Tensor => pipe(y, div(pipe(y, square, weigh, sqrt, add(1e-10))))
    const slopeAt = (normalize: nn.Layer): Tensor => grad(pipe(normalize(zero), sum()), [zero])[0] ?? zero
    const found = await numbers({ unit: nn.unitNormalize(x), own: slopeAt(nn.unitNormalize), naive: slopeAt(naive) })
    expect(found('unit').map((u) => u.toFixed(9))).toEqual(['0.600000000', '0.800000000'])
    expect(found('own').every(Number.isFinite)).toBe(true)
    expect(found('naive').every(Number.isFinite)).toBe(false)
  })
})

describe('the adversarial terms (notes 000, 003)', () => {
  const softplusOf = (v: number): number => Math.log1p(Math.exp(v))
  const [real, fake] = [rows([2], [-0.5]), rows([-3], [1])]

  test('000 line 178: log D(x) is of the real logits', async () => {
    const vanilla = await number(losses.discriminatorLoss('vanilla')({ real, fake }))
    const [ofReal, ofFake] = [(softplusOf(-2) + softplusOf(0.5)) / 2, (softplusOf(-3) + softplusOf(1)) / 2]
    expect(vanilla).toBeCloseTo(0.5 * (ofReal + ofFake), 12)
    const note = (softplusOf(3) + softplusOf(-1)) / 2
    expect(Math.abs(note - ofReal)).toBeGreaterThan(0.5)
  })

  /** An autoencoder of two numbers, and a judge that looks at the brightness. */
  const [encoder, decoder] = ['encoder', 'decoder'].map((s) => parameter(s, 'weight', [], { kind: 'ones' }))
  const weights = {
    'encoder.weight': floats([], Float64Array.of(0.5)),
    'decoder.weight': floats([], Float64Array.of(2)),
  }
  const turn = (kind: losses.AdversarialKind, factor: number) => {
    if (encoder === undefined || decoder === undefined) throw new Error('no autoencoder')
    const inputs = rows([1, 0.5], [-1, 2])
    const latents = pipe(inputs, mul(encoder))
    const reconstructions = pipe(latents, mul(decoder))
    const posterior = gaussian.gaussian(latents, rows([0, 0], [0, 0]))
    const autoencoder = losses.klAutoencoderLoss({ klWeight: 1, l1: 0, l2: 1 })({
      inputs: pipe(inputs, mul(3)),
      reconstructions,
      posterior,
    })
    const generator = { weight: 1, cap: 1e4, smoothing: 0 }
    const judge: nn.Discriminator = (x) => ({ y: pipe(x, mul(0.7)), buffers: {} })
    const played = losses.generatorTurn('loss', { config: { loss: kind, generator, r1: 0 }, judge })({
      autoencoder,
      reconstructions,
      lastLayer: decoder,
      factor,
    })
    const [toEncoder = played.loss] = grad(played.log.g_loss, [encoder])
    return evaluate({ ...played.log, toEncoder, alone: autoencoder.loss }, weights)
  }
  test('000 line 174, 003 line 251: the generator adds -E[D(xhat)], over encoded x', async () => {
    const found = await turn('hinge', 1)
    expect(found.g_loss?.data[0]).toBeCloseTo((-0.7 * 2.5) / 4, 12)
    expect(found.toEncoder?.data[0], 'samples of the prior would not reach the encoder').toBeCloseTo(
      (-0.7 * 2 * 2.5) / 4,
      12,
    )
  })
  test('"vanilla" keeps the generator loss -E[D]', async () => {
    const [hinge, vanilla] = [await turn('hinge', 1), await turn('vanilla', 1)]
    expect(vanilla.g_loss?.data).toEqual(hinge.g_loss?.data)
  })
  test('the gradients of the adaptive weight are there before `disc_start` too, though they weigh nothing', async () => {
    const found = await turn('hinge', 0)
    expect(found.g_grad_norm?.data[0]).toBeGreaterThan(0.1)
    expect(found.d_weight?.data[0]).toBeGreaterThan(0.1)
    expect(found.total_loss?.data[0]).toBe(found.alone?.data[0])
  })
})

test('VectorQuantizer2 is `legacy` by default, with beta on the term of the codebook; here it is on that of the encoder', async () => {
  const z = pipe(vector([0.2, -0.4]), reshape(1, 2, 1, 1))
  const table = { 'q.embedding.weight': floats([2, 2], Float64Array.of(0, 0, 5, 5)) }
  const lossOf = async (weighs: 'beta' | 'legacyBeta') => {
    const { loss } = nn.vectorQuantizer('q', { entries: 2, dim: 2, beta: 0.25, weighs })(z)
    const [toLatents = loss] = grad(loss, [z])
    return evaluate({ loss, toLatents }, table)
  }
  const [own, legacy] = [await lossOf('beta'), await lossOf('legacyBeta')]
  expect(own.loss?.data[0]).toBeCloseTo(1.25 * 0.1, 12)
  expect(legacy.loss?.data[0]).toBeCloseTo(1.25 * 0.1, 12)
  expect(own.toLatents?.data[0]).toBeCloseTo(0.25 * 0.2, 12)
  expect(legacy.toLatents?.data[0]).toBeCloseTo(0.2, 12)
})
