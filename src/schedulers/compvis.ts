/** CompVis' names for what this folder has: for reading its configurations, and for checking against its numbers. */
import { type Checked, fail } from '../error.ts'
import { E, pipe, type ReadonlyNonEmptyArray, RR } from '../prelude.ts'
import { checkLearningRate, type LearningRate, type RateCycle } from './learning-rate.ts'
import { type Column, type NoiseSchedule, type NoiseScheduleConfig, noiseSchedule } from './noise-schedule.ts'
import { type CompVisSpacing, type DdimParameters, ddimParameters, placeTimesteps } from './timesteps.ts'

/** The arguments of CompVis' `DDPM` that declare its noise schedule; defaults as there. */
export interface CompVisSchedule {
  readonly beta_schedule?: string | undefined
  readonly timesteps?: number | undefined
  readonly linear_start?: number | undefined
  readonly linear_end?: number | undefined
  readonly cosine_s?: number | undefined
  readonly v_posterior?: number | undefined
}

const common = ({ timesteps = 1000, v_posterior = 0 }: CompVisSchedule) => ({ timesteps, vPosterior: v_posterior })

const ends = ({ linear_start = 1e-4, linear_end = 2e-2 }: CompVisSchedule) => ({
  betaStart: linear_start,
  betaEnd: linear_end,
})

const betaSchedules: Readonly<Record<string, (c: CompVisSchedule) => NoiseScheduleConfig>> = {
  linear: (c) => ({ kind: 'scaled-linear', ...common(c), ...ends(c) }),
  sqrt_linear: (c) => ({ kind: 'linear', ...common(c), ...ends(c) }),
  sqrt: (c) => ({ kind: 'sqrt', ...common(c), ...ends(c) }),
  cosine: (c) => ({ kind: 'cosine', ...common(c), offset: c.cosine_s ?? 8e-3 }),
}

const named = <A>(table: Readonly<Record<string, A>>, at: string, name: string): Checked<A> => {
  const names = Object.keys(table).map((k) => `"${k}"`)
  const row = Object.hasOwn(table, name) ? table[name] : undefined
  return row === undefined ? fail('config', at, names.join(' | '), `"${name}"`) : E.right(row)
}

/**
 * What CompVis' arguments declare. Its "linear" is linear in sqrt(beta), its "sqrt_linear" in beta. Errors (`config`):
 * an unknown `/beta_schedule`; whether the numbers make a schedule, `noiseSchedule` says.
 */
export const noiseScheduleFromCompVis = (config: CompVisSchedule): Checked<NoiseScheduleConfig> =>
  pipe(
    named(betaSchedules, '/beta_schedule', config.beta_schedule ?? 'linear'),
    E.map((declare) => declare(config)),
  )

/** The buffers of CompVis' `DDPM` under their `state_dict` keys, and the columns they hold rounded to float32. */
export const compVisBuffers = {
  betas: 'betas',
  alphas_cumprod: 'alphasCumprod',
  alphas_cumprod_prev: 'alphasCumprodPrev',
  sqrt_alphas_cumprod: 'sqrtAlphasCumprod',
  sqrt_one_minus_alphas_cumprod: 'sqrtOneMinusAlphasCumprod',
  log_one_minus_alphas_cumprod: 'logOneMinusAlphasCumprod',
  sqrt_recip_alphas_cumprod: 'sqrtRecipAlphasCumprod',
  sqrt_recipm1_alphas_cumprod: 'sqrtRecipm1AlphasCumprod',
  posterior_variance: 'posteriorVariance',
  posterior_log_variance_clipped: 'posteriorLogVarianceClipped',
  posterior_mean_coef1: 'posteriorMeanCoef1',
  posterior_mean_coef2: 'posteriorMeanCoef2',
} as const satisfies Readonly<Record<string, keyof NoiseSchedule>>

/**
 * All that CompVis' `register_schedule` computes, under its names: the buffers in float32, the `lvlb_weights` of both
 * parametrisations, and some columns before rounding as `f64.*`.
 */
export const compVisScheduleValues = (config: CompVisSchedule): Checked<Readonly<Record<string, Column>>> =>
  pipe(
    noiseScheduleFromCompVis(config),
    E.chain(noiseSchedule),
    E.map((s) => ({
      ...pipe(
        compVisBuffers,
        RR.map((column) => s[column].map(Math.fround)),
      ),
      'lvlb_weights.eps': s.referenceVlbWeights.eps,
      'lvlb_weights.x0': s.referenceVlbWeights.x0,
      'f64.betas': s.betas,
      'f64.alphas_cumprod': s.alphasCumprod,
      'f64.posterior_variance': s.posteriorVariance,
    })),
  )

/** A call of `make_ddim_timesteps` and `make_ddim_sampling_parameters`: S of T timesteps. */
export interface CompVisDdim {
  readonly S: number
  readonly T: number
  readonly method: string
  readonly eta: number
}

const discretizations: Readonly<Record<string, CompVisSpacing>> = { uniform: 'uniform', quad: 'quad' }

/**
 * The timesteps that CompVis' DDIM visits, and its parameters there: errors where the timesteps run past T - 1 (the
 * reference's IndexError). `config.timesteps` gives way to T.
 */
export const compVisDdimValues = (
  config: CompVisSchedule,
  { S, T, method, eta }: CompVisDdim,
): Checked<{ readonly timesteps: Column; readonly parameters: Checked<DdimParameters> }> =>
  pipe(
    named(discretizations, '/method', method),
    E.chain((kind) => placeTimesteps({ kind, steps: S }, T)),
    E.chain((timesteps) =>
      pipe(
        noiseScheduleFromCompVis({ ...config, timesteps: T }),
        E.chain(noiseSchedule),
        E.map((schedule) => ({ timesteps, parameters: ddimParameters(schedule, timesteps, eta) })),
      ),
    ),
  )

/** The arguments of the classes of CompVis' `ldm/lr_scheduler.py`; lists have one element a cycle. */
export interface CompVisRate {
  readonly warm_up_steps: number | readonly number[]
  readonly f_start?: readonly number[] | undefined
  readonly f_max?: readonly number[] | undefined
  readonly f_min?: readonly number[] | undefined
  readonly cycle_lengths?: readonly number[] | undefined
  readonly lr_start?: number | undefined
  readonly lr_max?: number | undefined
  readonly lr_min?: number | undefined
  readonly max_decay_steps?: number | undefined
}

const listOf = (value: number | readonly number[] | undefined): Column =>
  value === undefined ? [] : typeof value === 'number' ? [value] : value

const cyclesOf = (args: CompVisRate): Checked<ReadonlyNonEmptyArray<RateCycle>> => {
  const columns = {
    length: listOf(args.cycle_lengths ?? args.max_decay_steps),
    warmUp: listOf(args.warm_up_steps),
    start: listOf(args.f_start ?? args.lr_start),
    peak: listOf(args.f_max ?? args.lr_max),
    floor: listOf(args.f_min ?? args.lr_min),
  }
  const count = columns.length.length
  const at = (column: Column, i: number): number => column[i] ?? Number.NaN
  const [first, ...later] = columns.length.map((length, i) => ({
    length,
    warmUp: at(columns.warmUp, i),
    start: at(columns.start, i),
    peak: at(columns.peak, i),
    floor: at(columns.floor, i),
  }))
  const sizes = Object.values(columns).map((c) => c.length)
  return first === undefined || sizes.some((size) => size !== count)
    ? fail('config', '', 'lists with one element a cycle', `lengths ${sizes.join(', ')}`)
    : E.right([first, ...later])
}

const rateSchedulers: Readonly<Record<string, 'cosine-cycles' | 'linear-cycles'>> = {
  LambdaWarmUpCosineScheduler: 'cosine-cycles',
  LambdaWarmUpCosineScheduler2: 'cosine-cycles',
  LambdaLinearScheduler: 'linear-cycles',
}

/**
 * The schedule that a class of CompVis' `ldm/lr_scheduler.py` with its arguments makes of a base rate. Errors
 * (`config`): an unknown class, lists of different lengths, numbers that make no schedule.
 */
export const learningRateFromCompVis = (className: string, args: CompVisRate, rate: number): Checked<LearningRate> =>
  pipe(
    named(rateSchedulers, '/cls', className),
    E.chain((kind) =>
      pipe(
        cyclesOf(args),
        E.chain((cycles) => checkLearningRate({ kind, rate, cycles })),
      ),
    ),
  )
