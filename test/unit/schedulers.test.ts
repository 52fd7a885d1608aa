import { describe, expect, test } from 'vitest'
import { E } from '../../src/prelude.ts'
import { schedulerConfig } from '../../src/samplers/diffusers/config.ts'
import { schedulerOf } from '../../src/samplers/diffusers/schedulers.ts'
import { learningRateFromCompVis, noiseScheduleFromCompVis } from '../../src/schedulers/compvis.ts'
import { checkLearningRate, learningRate } from '../../src/schedulers/learning-rate.ts'
import { noiseSchedule } from '../../src/schedulers/noise-schedule.ts'
import { ddimParameters, placeTimesteps, timesteps } from '../../src/schedulers/timesteps.ts'
import { decode } from '../../src/schema.ts'

const pointers = (checked: E.Either<readonly { readonly at: string }[], unknown>): readonly string[] =>
  E.isLeft(checked) ? checked.left.map(({ at }) => at) : []

describe('noise schedules', () => {
  test('all mistakes at once', () => {
    const wrong = noiseSchedule({ kind: 'linear', timesteps: 1.5, vPosterior: 2, betaStart: 0, betaEnd: 1 })
    expect(pointers(wrong)).toEqual(['/timesteps', '/vPosterior', '/betaStart', '/betaEnd'])
    expect(pointers(noiseSchedule({ kind: 'cosine', timesteps: 10, offset: Number.NaN }))).toEqual(['/offset'])
  })

  test('the ends are as declared', () => {
    const ends = { timesteps: 7, betaStart: 0.01, betaEnd: 0.04 }
    for (const kind of ['linear', 'scaled-linear'] as const) {
      const schedule = noiseSchedule({ kind, ...ends })
      const betas = E.isRight(schedule) ? schedule.right.betas : []
      expect(betas[0]).toBeCloseTo(0.01, 15)
      expect(betas[3]).toBeCloseTo(kind === 'linear' ? 0.025 : 0.0225, 15)
      expect(betas[6]).toBeCloseTo(0.04, 15)
    }
  })

  test("sigmoid-beta is diffusers' sigmoid, which only DDPM has there", () => {
    const config = decode(schedulerConfig)({ beta_schedule: 'sigmoid', num_train_timesteps: 50 })
    const own = noiseSchedule({ kind: 'sigmoid-beta', timesteps: 50 })
    if (E.isLeft(config) || E.isLeft(own)) throw new Error('both are declared right')
    const call = { steps: 5, round: Math.fround, step: {}, set: {} }
    const theirs = schedulerOf('DDPMScheduler', config.right, call)
    const betas = E.isRight(theirs) ? (theirs.right.betas ?? []) : []
    expect(betas).toHaveLength(50)
    betas.forEach((beta, t) => {
      expect(Math.abs(beta / (own.right.betas[t] ?? Number.NaN) - 1)).toBeLessThan(1e-6)
    })
    expect(pointers(schedulerOf('DDIMScheduler', config.right, call))).toEqual(['/'])
  })

  test("CompVis' names", () => {
    expect(noiseScheduleFromCompVis({ beta_schedule: 'linear', timesteps: 5, linear_end: 0.1 })).toEqual(
      E.right({ kind: 'scaled-linear', timesteps: 5, vPosterior: 0, betaStart: 1e-4, betaEnd: 0.1 }),
    )
    expect(noiseScheduleFromCompVis({ beta_schedule: 'sqrt_linear' })).toMatchObject({ right: { kind: 'linear' } })
    expect(pointers(noiseScheduleFromCompVis({ beta_schedule: 'toString' }))).toEqual(['/beta_schedule'])
  })
})

describe('timesteps', () => {
  test.each([
    { kind: 'uniform', steps: 3, total: 12, expected: [1, 5, 9] },
    { kind: 'quad', steps: 1, total: 10, expected: [1] },
  ] as const)('$kind: $steps of $total', ({ total, expected, ...spacing }) => {
    expect(timesteps(spacing, total)).toEqual(E.right(expected))
  })

  test('running past the end is an error, though the place is known', () => {
    expect(placeTimesteps({ kind: 'uniform', steps: 3 }, 10)).toEqual(E.right([1, 4, 7, 10]))
    expect(timesteps({ kind: 'uniform', steps: 3 }, 10)).toMatchObject({
      left: [
        { at: '/steps', expected: 'timesteps in [0, 9]', got: 'timestep 10, of 4 that "uniform" makes of 3 steps' },
      ],
    })
  })

  test.each([0, 11, 2.5, Number.NaN])('%s steps of 10 are refused', (steps) => {
    expect(pointers(timesteps({ kind: 'quad', steps }, 10))).toEqual(['/steps'])
  })

  test('DDIM refuses a negative eta and foreign timesteps', () => {
    const schedule = noiseSchedule({ kind: 'linear', timesteps: 10 })
    if (E.isLeft(schedule)) throw new Error('no schedule')
    expect(pointers(ddimParameters(schedule.right, [1], -1))).toEqual(['/eta'])
    expect(pointers(ddimParameters(schedule.right, [1, 10], 0))).toEqual(['/timesteps'])
  })
})

describe('learning rates', () => {
  test('constant, warm-up and cosine', () => {
    expect(learningRate({ kind: 'constant', rate: 0.1 }, 7)).toBe(0.1)
    const warmUp = { kind: 'warm-up', rate: 0.1, warmUp: 4 } as const
    expect([0, 1, 4, 9].map((n) => learningRate(warmUp, n))).toEqual([0, 0.025, 0.1, 0.1])
    const cosine = { kind: 'warm-up-cosine', rate: 2, warmUp: 2, length: 6, floor: 0.5 } as const
    const rates = [0, 1, 2, 4, 6, 99].map((n) => learningRate(cosine, n))
    rates.forEach((rate, i) => {
      expect(rate).toBeCloseTo([0, 1, 2, 1.5, 1, 1][i] ?? Number.NaN, 14)
    })
    expect(learningRate({ kind: 'warm-up', rate: 0.1, warmUp: 0 }, 0)).toBe(0.1)
  })

  /** By the formulas of torch's `lr_scheduler.py`, in Python; a rate of 0.2. */
  test.each([
    [
      'CosineAnnealingLR(T_max=10, eta_min=0.02)',
      { kind: 'cosine', length: 10, floor: 0.1 },
      { 0: 0.2, 1: 0.19559508646656382, 5: 0.11, 10: 0.02, 11: 0.02 },
    ],
    [
      'CosineAnnealingWarmRestarts(T_0=4, T_mult=2, eta_min=0.02)',
      { kind: 'cosine-restarts', period: 4, growth: 2, floor: 0.1 },
      {
        0: 0.2,
        1: 0.1736396103067893,
        3: 0.04636038969321073,
        4: 0.2,
        5: 0.1931491579260158,
        11: 0.026850842073984194,
        12: 0.2,
        27: 0.02172932476370926,
        28: 0.2,
        30: 0.19827067523629074,
      },
    ],
    [
      'CosineAnnealingWarmRestarts(T_0=4)',
      { kind: 'cosine-restarts', period: 4 },
      { 0: 0.2, 3: 0.029289321881345254, 4: 0.2, 6: 0.1, 9: 0.17071067811865476 },
    ],
    [
      'PolynomialLR(total_iters=8, power=0.9)',
      { kind: 'polynomial', length: 8, power: 0.9 },
      { 0: 0.2, 1: 0.17735247085144146, 4: 0.10717734625362932, 8: 0, 9: 0 },
    ],
    [
      'OneCycleLR(total_steps=20)',
      { kind: 'one-cycle', length: 20 },
      { 0: 0.008, 1: 0.026334368540005065, 5: 0.2, 6: 0.19749280124701749, 12: 0.1000004, 19: 8e-7, 20: 8e-7 },
    ],
    [
      "OneCycleLR(total_steps=20, anneal_strategy='linear', three_phase=True)",
      { kind: 'one-cycle', length: 20, anneal: 'linear', threePhase: true },
      { 0: 0.008, 2: 0.0848, 5: 0.2, 7: 0.1232, 10: 0.008, 12: 0.0062224, 19: 8e-7 },
    ],
    [
      'polynomial behind a warm-up',
      { kind: 'polynomial', length: 8, floor: 0.5, warmUp: 4 },
      { 0: 0, 2: 0.1, 4: 0.2, 6: 0.15, 8: 0.1 },
    ],
    [
      'restarts behind a warm-up',
      { kind: 'cosine-restarts', period: 2, warmUp: 2 },
      { 1: 0.1, 2: 0.2, 3: 0.1, 4: 0.2 },
    ],
    ['a warm-up as long as the training', { kind: 'warm-up-cosine', length: 4, warmUp: 4 }, { 0: 0, 3: 0.15, 4: 0.2 }],
  ] as const)('%s', (_, declared, expected) => {
    const schedule = { ...declared, rate: 0.2 }
    expect(E.isRight(checkLearningRate(schedule))).toBe(true)
    for (const [step, rate] of Object.entries(expected))
      expect(learningRate(schedule, Number(step)), `step ${step}`).toBeCloseTo(rate, 14)
  })

  test('what makes no schedule', () => {
    expect(pointers(checkLearningRate({ kind: 'one-cycle', rate: 1, length: 3 }))).toEqual(['/rise'])
    expect(
      pointers(checkLearningRate({ kind: 'one-cycle', rate: 1, length: 30, rise: 0.6, threePhase: true })),
    ).toEqual(['/rise'])
    expect(pointers(checkLearningRate({ kind: 'polynomial', rate: 1, length: 3, power: 0, warmUp: 4 }))).toEqual([
      '/warmUp',
      '/power',
    ])
    expect(pointers(checkLearningRate({ kind: 'cosine-restarts', rate: 1, period: 0, growth: 0.5 }))).toEqual([
      '/period',
      '/growth',
    ])
    expect(pointers(checkLearningRate({ kind: 'cosine-cycles', rate: 1, cycles: [] }))).toEqual(['/cycles'])
  })

  test('all mistakes at once', () => {
    const good = { length: 5, warmUp: 0, start: 0, peak: 1, floor: 0 }
    const wrong = checkLearningRate({
      kind: 'linear-cycles',
      rate: 0,
      cycles: [good, { ...good, length: 0, peak: -1 }, { ...good, warmUp: 5 }],
    })
    expect(pointers(wrong)).toEqual([
      '/rate',
      '/cycles/1/length',
      '/cycles/1/warmUp',
      '/cycles/1/peak',
      '/cycles/2/warmUp',
    ])
    expect(pointers(checkLearningRate({ kind: 'warm-up-cosine', rate: 1, warmUp: 3, length: 2 }))).toEqual(['/warmUp'])
  })

  test("CompVis' lists need one element a cycle", () => {
    const args = { warm_up_steps: [1, 2], f_start: [0], f_max: [1], f_min: [1], cycle_lengths: [9] }
    expect(E.isLeft(learningRateFromCompVis('LambdaLinearScheduler', args, 1))).toBe(true)
    expect(pointers(learningRateFromCompVis('LambdaLR', args, 1))).toEqual(['/cls'])
  })
})
