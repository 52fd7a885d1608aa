import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Checked, showErrors } from '../../src/error.ts'
import { E } from '../../src/prelude.ts'
import { checkLearningRate, learningRate } from '../../src/schedulers/learning-rate.ts'
import {
  type BetaSchedule,
  type Column,
  type NoiseSchedule,
  type NoiseScheduleConfig,
  noiseSchedule,
} from '../../src/schedulers/noise-schedule.ts'
import { type CompVisSpacing, ddimParameters, timesteps } from '../../src/schedulers/timesteps.ts'

const right = <A>(checked: Checked<A>): A => {
  if (E.isLeft(checked)) throw new Error(showErrors(checked.left))
  return checked.right
}

const common = {
  timesteps: fc.integer({ min: 2, max: 300 }),
  vPosterior: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
  shift: fc.oneof(fc.constant(1), fc.double({ min: 0.2, max: 6, noNaN: true })),
}

const between = fc
  .tuple(fc.double({ min: 1e-4, max: 0.3, noNaN: true }), fc.double({ min: 1e-4, max: 0.3, noNaN: true }))
  .map(([a, b]) => ({ betaStart: Math.min(a, b), betaEnd: Math.max(a, b) }))

const rising = <K extends Exclude<BetaSchedule, 'cosine' | 'sigmoid' | 'cosine-log-snr'>>(kind: K) =>
  fc.tuple(fc.record({ kind: fc.constant(kind), ...common }), between).map(([c, ends]) => ({ ...c, ...ends }))

const configs: { readonly [K in BetaSchedule]: fc.Arbitrary<NoiseScheduleConfig> } = {
  linear: rising('linear'),
  'scaled-linear': rising('scaled-linear'),
  sqrt: rising('sqrt'),
  cosine: fc.record({
    kind: fc.constant('cosine' as const),
    ...common,
    offset: fc.double({ min: 1e-3, max: 0.1, noNaN: true }),
  }),
  sigmoid: fc.record({
    kind: fc.constant('sigmoid' as const),
    ...common,
    start: fc.double({ min: -4, max: 0, noNaN: true }),
    end: fc.double({ min: 1, max: 4, noNaN: true }),
    temperature: fc.double({ min: 0.7, max: 2, noNaN: true }),
  }),
  'sigmoid-beta': rising('sigmoid-beta'),
  'cosine-log-snr': fc.record({
    kind: fc.constant('cosine-log-snr' as const),
    ...common,
    logSnrMin: fc.double({ min: -15, max: -5, noNaN: true }),
    logSnrMax: fc.double({ min: 5, max: 15, noNaN: true }),
  }),
}

const anyConfig = fc.oneof(...Object.values(configs))

/** Schedules that CompVis' code has. */
const referenceConfig = fc
  .oneof(configs.linear, configs['scaled-linear'], configs.sqrt, configs.cosine)
  .map((config) => ({ ...config, shift: 1 }))

const everyStep = (
  law: (s: NoiseSchedule, at: (c: Column) => number, t: number, c: NoiseScheduleConfig) => void,
  of: fc.Arbitrary<NoiseScheduleConfig> = anyConfig,
): void =>
  fc.assert(
    fc.property(of, (config) => {
      const s = right(noiseSchedule(config))
      for (let t = 0; t < s.timesteps; t++) law(s, (column) => column[t] ?? Number.NaN, t, config)
    }),
  )

const near = (a: number, b: number, tolerance = 1e-9): void =>
  expect(Math.abs(a - b), `${a} and ${b}`).toBeLessThanOrEqual(tolerance * Math.max(Math.abs(a), Math.abs(b), 1e-300))

describe('noise schedules', () => {
  test('alpha-bar and the signal-to-noise ratio fall', () => {
    everyStep((s, at, t) => {
      expect(at(s.betas) > 0 && at(s.betas) < 1).toBe(true)
      expect(at(s.alphasCumprod) > 0 && at(s.alphasCumprod) < at(s.alphasCumprodPrev)).toBe(true)
      if (t === 0) return
      expect(at(s.snr)).toBeLessThan(s.snr[t - 1] ?? 0)
      expect(at(s.logSnr)).toBeLessThan(s.logSnr[t - 1] ?? 0)
    })
  })

  test('the columns say the same of one step', () => {
    everyStep((s, at) => {
      near(at(s.alphas) + at(s.betas), 1)
      near(at(s.alphasCumprod), at(s.alphas) * at(s.alphasCumprodPrev))
      near(at(s.sqrtAlphasCumprod) ** 2 + at(s.sqrtOneMinusAlphasCumprod) ** 2, 1)
      near(Math.exp(at(s.logOneMinusAlphasCumprod)), at(s.sqrtOneMinusAlphasCumprod) ** 2)
      near(at(s.sqrtRecipAlphasCumprod), 1 / at(s.sqrtAlphasCumprod))
      near(at(s.sqrtRecipm1AlphasCumprod) ** -2, at(s.snr))
      near(Math.exp(at(s.logSnr)), at(s.snr))
    })
  })

  test('the posterior has a variance in [0, beta], and its clipped logarithm', () => {
    everyStep((s, at) => {
      expect(at(s.posteriorVariance)).toBeGreaterThanOrEqual(0)
      expect(at(s.posteriorVariance)).toBeLessThanOrEqual(at(s.betas) * (1 + 1e-12))
      near(Math.exp(at(s.posteriorLogVarianceClipped)), Math.max(at(s.posteriorVariance), 1e-20))
    })
  })

  test('integrating the posterior over q(x_t | x_0) gives q(x_{t-1} | x_0)', () => {
    everyStep((s, at, _t, { vPosterior = 0 }) => {
      const mean = at(s.posteriorMeanCoef1) + at(s.posteriorMeanCoef2) * at(s.sqrtAlphasCumprod)
      near(mean, Math.sqrt(at(s.alphasCumprodPrev)))
      if (vPosterior !== 0) return
      const variance = at(s.posteriorMeanCoef2) ** 2 * (1 - at(s.alphasCumprod)) + at(s.posteriorVariance)
      near(variance, 1 - at(s.alphasCumprodPrev))
    })
  })

  test('the weights of the bound are of the same error, in eps, x0 and v', () => {
    everyStep((s, at, t, { vPosterior = 0 }) => {
      near(at(s.vlbWeights.x0), at(s.vlbWeights.eps) * at(s.snr))
      near(at(s.vlbWeights.v), at(s.vlbWeights.x0) * (1 - at(s.alphasCumprod)))
      if (t === 0) {
        expect(at(s.vlbWeights.eps)).toBe(0)
        return
      }
      near(at(s.vlbWeights.x0), at(s.posteriorMeanCoef1) ** 2 / (2 * at(s.posteriorVariance)))
      if (vPosterior === 0) near(at(s.vlbWeights.x0), ((s.snr[t - 1] ?? 0) - at(s.snr)) / 2, 1e-7)
    })
  })

  test('the x0 weights of the bound telescope', () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        const { snr, vlbWeights } = right(noiseSchedule({ ...config, vPosterior: 0 }))
        const sum = vlbWeights.x0.reduce((a, b) => a + b, 0)
        near(sum, ((snr[0] ?? 0) - (snr.at(-1) ?? 0)) / 2, 1e-7)
      }),
    )
  })

  test('a shift takes 2 log(shift) off log SNR', () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        const plain = right(noiseSchedule({ ...config, shift: 1 })).logSnr
        right(noiseSchedule(config)).logSnr.forEach((x, t) => {
          near(x, (plain[t] ?? Number.NaN) - 2 * Math.log(config.shift ?? 1), 1e-6)
        })
      }),
    )
  })

  test('without terminal SNR the first timestep stays, the last is noise, and SNR falls', () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        const plain = right(noiseSchedule(config))
        const s = right(noiseSchedule({ ...config, zeroTerminalSnr: true }))
        near(s.alphasCumprod[0] ?? Number.NaN, plain.alphasCumprod[0] ?? Number.NaN)
        expect(s.alphasCumprod.at(-1)).toBe(0)
        expect(s.snr.every((x, t) => t === 0 || x < (s.snr[t - 1] ?? 0))).toBe(true)
        for (const weights of [s.vlbWeights.x0, s.vlbWeights.v, s.vlbWeights.flow])
          expect(weights.every(Number.isFinite)).toBe(true)
        if (config.vPosterior !== 0) return
        near(
          s.vlbWeights.x0.reduce((a, b) => a + b, 0),
          (s.snr[0] ?? 0) / 2,
          1e-7,
        )
      }),
    )
  })

  test('cosine-log-snr runs from one log SNR to the other, sigmoid is stretched to [0, 1]', () => {
    const ends = right(noiseSchedule({ kind: 'cosine-log-snr', timesteps: 1000, logSnrMin: -10, logSnrMax: 12 })).logSnr
    near(ends.at(-1) ?? Number.NaN, -10, 1e-6)
    expect(ends[0]).toBeLessThan(12)
    const bars = right(noiseSchedule({ kind: 'sigmoid', timesteps: 1000 })).alphasCumprod
    near(bars[499] ?? Number.NaN, 0.5, 1e-9)
    near(bars.at(-1) ?? Number.NaN, 1e-9, 1e-6)
  })

  test('parameters under which a timestep adds no noise are refused', () => {
    const flat = noiseSchedule({ kind: 'sigmoid', timesteps: 1000, start: -3, end: 100, temperature: 0.1 })
    expect(E.isLeft(flat)).toBe(true)
  })

  test("the reference's eps weights are the right ones in single precision, but for the first", () => {
    everyStep((s, at, t) => {
      if (t > 0) near(at(s.referenceVlbWeights.eps), at(s.vlbWeights.eps), 2e-3)
      else expect(at(s.referenceVlbWeights.eps)).toBe(s.referenceVlbWeights.eps[1])
    }, referenceConfig)
  })
})

const spacing = fc.record({
  kind: fc.constantFrom<CompVisSpacing[]>('uniform', 'quad'),
  total: fc.integer({ min: 2, max: 1000 }),
  part: fc.double({ min: 0, max: 1, noNaN: true }),
})

describe('timesteps', () => {
  test('rise inside [0, T - 1], or are refused', () => {
    fc.assert(
      fc.property(spacing, ({ kind, total, part }) => {
        const steps = 1 + Math.floor(part * (total - 1))
        const visited = timesteps({ kind, steps }, total)
        if (E.isLeft(visited)) return
        if (kind !== 'uniform') expect(visited.right.length).toBe(steps)
        visited.right.forEach((t, i) => {
          expect(Number.isInteger(t) && t >= 0 && t < total).toBe(true)
          expect(t).toBeGreaterThanOrEqual(visited.right[i - 1] ?? 0)
        })
      }),
      { numRuns: 500 },
    )
  })

  test('with eta 1 over all steps, sigma is the deviation of the posterior (alpha-bar normal in float32)', () => {
    fc.assert(
      fc.property(configs['scaled-linear'], (config) => {
        const s = right(noiseSchedule({ ...config, vPosterior: 0, shift: 1 }))
        fc.pre((s.alphasCumprod.at(-1) ?? 0) > 2 ** -126)
        const all = Array.from({ length: s.timesteps }, (_, t) => t)
        const { sigmas } = right(ddimParameters(s, all, 1))
        sigmas.slice(1).forEach((sigma, i) => {
          near(sigma ** 2, s.posteriorVariance[i + 1] ?? 0, 5e-3)
        })
      }),
    )
  })
})

const cycle = fc.integer({ min: 1, max: 100 }).chain((length) =>
  fc.record({
    length: fc.constant(length),
    warmUp: fc.integer({ min: 0, max: length - 1 }),
    start: fc.double({ min: 0, max: 1, noNaN: true }),
    peak: fc.double({ min: 0, max: 1, noNaN: true }),
    floor: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
)

const cyclic = fc.record({
  kind: fc.constantFrom<('cosine-cycles' | 'linear-cycles')[]>('cosine-cycles', 'linear-cycles'),
  rate: fc.double({ min: 1e-6, max: 1, noNaN: true }),
  cycles: fc.tuple(cycle, cycle, cycle),
})

describe('learning rates', () => {
  test('stay between the factors of their cycles, and hold at the end', () => {
    fc.assert(
      fc.property(cyclic, fc.nat(400), (schedule, step) => {
        expect(checkLearningRate(schedule)).toEqual(E.right(schedule))
        const rate = learningRate(schedule, step) / schedule.rate
        const factors = schedule.cycles.flatMap(({ start, peak, floor }) => [start, peak, floor])
        expect(rate).toBeGreaterThanOrEqual(Math.min(...factors) - 1e-12)
        expect(rate).toBeLessThanOrEqual(Math.max(...factors) + 1e-12)
        const end = schedule.cycles.reduce((sum, c) => sum + c.length, 0)
        near(learningRate(schedule, end + step), schedule.rate * schedule.cycles[2].floor, 1e-12)
      }),
    )
  })
})
