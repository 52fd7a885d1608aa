import { describe, expect, test } from 'vitest'
import { E } from '../../src/prelude.ts'
import { learningRateFromCompVis, noiseScheduleFromCompVis } from '../../src/schedulers/compvis.ts'
import { checkLearningRate, learningRate } from '../../src/schedulers/learning-rate.ts'
import { noiseSchedule } from '../../src/schedulers/noise-schedule.ts'
import { ddimParameters, placeTimesteps, timesteps } from '../../src/schedulers/timesteps.ts'

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
      left: [{ at: '/steps', expected: 'timesteps in [0, 9]', got: 'timestep 10' }],
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
