import type { Denoiser } from '../../../diffusion/index.ts'
import { within } from '../../../diffusion/keep.ts'
import { type Checked, fail } from '../../../error.ts'
import { floats, type Value, type Values } from '../../../execute/executor.ts'
import { E, pipe, TE } from '../../../prelude.ts'
import {
  chain,
  ddim,
  ddpm,
  leaves,
  planSampling,
  plms,
  type Sampler,
  type Transition,
} from '../../../samplers/index.ts'
import { compVisDdimValues } from '../../../schedulers/compvis.ts'
import type { Column, NoiseSchedule } from '../../../schedulers/noise-schedule.ts'
import { dataLevel, discretePath, levelAt } from '../../../schedulers/path.ts'
import { flag, integer, number, record, text, withDefault, word } from '../../../schema.ts'
import type { Case } from '../../case.ts'
import { toValue } from '../../case.ts'
import { adapter, type Plan } from '../../plan.ts'
import { scheduleOf } from '../diffusion.ts'
import { column, scheduleConfig, wholeNumbers } from '../schedule.ts'
import { denoiserOf, type Loop, type Seen, stacked, trajectory } from './loop.ts'

/** The samplers of CompVis latent-diffusion: `DDIMSampler`, `PLMSSampler`, `p_sample_loop`. */

/** x_0 as the step from one x to the next implies it: what averaged predictions say. */
export const impliedX0 =
  ({ here, next }: Transition) =>
  (x: Value, after: Value): Value => {
    const kept = next.alpha / here.alpha
    const moved = next.sigma - kept * here.sigma
    return floats(
      x.shape,
      Float64Array.from(x.data, (now, i) => {
        const eps = ((after.data[i] ?? Number.NaN) - kept * now) / moved
        return (now - here.sigma * eps) / here.alpha
      }),
    )
  }

/** x before the first step and after each, and the x_0 that each predicted. */
const shown = (c: Case, { x, predX0 }: Seen, averaged: readonly Transition[] | undefined) => {
  const start = c.inputs.x_T === undefined ? [] : [toValue(c.inputs.x_T)]
  if (averaged === undefined) return { xs: [...start, ...x], x0s: predX0 }
  const xs = [...start, ...x.slice(1)]
  return {
    xs,
    x0s: averaged.flatMap((transition, i) => {
      const [before, after] = [xs[i], xs[i + 1]]
      return before === undefined || after === undefined ? [] : [impliedX0(transition)(before, after)]
    }),
  }
}

const loopPlan = (
  c: Case,
  loop: Omit<Loop, 'draws'>,
  known: Values = {},
  averaged: readonly Transition[] | undefined = undefined,
): Plan => ({
  kind: 'effect',
  run: (executor) =>
    pipe(
      trajectory(c, {
        ...loop,
        draws: {
          [leaves.noise]: { of: 'noise', at: (step) => step },
          [leaves.maskNoise]: { of: 'q_noise', at: (step) => step },
        },
      })(executor),
      TE.map((seen) => {
        const { xs, x0s } = shown(c, seen, averaged)
        return { 'out.x_inter': stacked(xs), 'out.pred_x0': stacked(x0s), 'out.final': seen.final, ...known }
      }),
    ),
})

const { timesteps: _, ...spacedConfig } = scheduleConfig
const ddimConfig = record(
  { S: integer({ min: 1 }) },
  {
    eta: withDefault(number(), 0),
    ddim_discretize: withDefault(text, 'uniform'),
    guidance_scale: withDefault(number(), 1),
    masked: withDefault(flag, false),
    temperature: withDefault(number(), 1),
    use_original_steps: withDefault(flag, false),
    timesteps: withDefault(integer(), 1000),
  },
  { ...spacedConfig, subset_timesteps: integer({ min: 1 }) },
)
type DdimConfig = (typeof ddimConfig)['_A']

/**
 * The earlier part of rising timesteps that the reference samples when asked for `count` of them: one less than `count`
 * (`ddim_sampling` with `timesteps`).
 */
export const compVisSubset = (timesteps: Column, count: number): Column =>
  timesteps.slice(0, Math.max(Math.trunc(Math.min(count / timesteps.length, 1) * timesteps.length) - 1, 0))

/** The timesteps visited, rising: the strided ones, or all, or the first of either. */
const visited = ({ use_original_steps, subset_timesteps }: DdimConfig, strided: Column, total: number): Column =>
  use_original_steps
    ? Array.from({ length: subset_timesteps ?? total }, (_, t) => t)
    : subset_timesteps === undefined
      ? strided
      : compVisSubset(strided, subset_timesteps)

/** The tables the reference's sampler keeps. */
const ddimTables = (
  config: DdimConfig,
  { alphasCumprod }: NoiseSchedule,
): Checked<{ readonly strided: Column; readonly tables: Values }> =>
  pipe(
    compVisDdimValues(config, { S: config.S, T: config.timesteps, method: config.ddim_discretize, eta: config.eta }),
    E.flatMap(({ parameters }) => parameters),
    E.map(({ timesteps, alphas, alphasPrev, sigmas }) => ({
      strided: timesteps,
      tables: {
        'out.ddim_timesteps': wholeNumbers(timesteps),
        'out.ddim_alphas': column(alphas),
        'out.ddim_alphas_prev': column(alphasPrev),
        'out.ddim_sigmas': column(sigmas),
        'out.ddim_sqrt_one_minus_alphas': column(alphas.map((a) => Math.fround(Math.sqrt(Math.fround(1 - a))))),
        'out.alphas_cumprod': column(alphasCumprod.map(Math.fround)),
      },
    })),
  )

/** Down through timesteps given in rising order, to the data or to the first timestep of all. */
const descend = (schedule: NoiseSchedule, rising: Column, end: 'data' | 'first timestep') => {
  const path = discretePath(schedule)
  const levels = rising.toReversed().map((t) => levelAt(path, t))
  return { path, transitions: chain([...levels, end === 'data' ? dataLevel(path) : levelAt(path, 0)]) }
}

const strided =
  (samplerOf: (c: DdimConfig) => Sampler, averages: boolean) =>
  (config: DdimConfig, c: Case): Checked<Plan> =>
    pipe(
      scheduleOf(config),
      E.bindTo('schedule'),
      E.bind('own', ({ schedule }) => ddimTables(config, schedule)),
      E.flatMap(({ schedule, own: { strided: steps, tables } }) => {
        const { path, transitions } = descend(
          schedule,
          visited(config, steps, schedule.timesteps),
          config.use_original_steps ? 'data' : 'first timestep',
        )
        return pipe(
          planSampling(samplerOf(config), path, transitions),
          E.map((plan) =>
            loopPlan(
              c,
              { plan, denoise: denoiserOf(c, 'eps', config.guidance_scale), inpaint: config.masked },
              tables,
              averages ? transitions : undefined,
            ),
          ),
        )
      }),
    )

export const ddimSampler = adapter(
  ddimConfig,
  strided(({ eta, temperature }) => ddim({ eta, temperature }), false),
)

/** Its first step calls the network twice, and what it shows are averaged predictions. */
export const plmsSampler = adapter(ddimConfig, (config, c) =>
  config.eta !== 0
    ? fail('config', '/eta', '0, as PLMS asserts', String(config.eta))
    : strided(() => plms(), true)(config, c),
)

const ddpmConfig = record(
  {},
  {
    clip_denoised: withDefault(flag, true),
    masked: withDefault(flag, false),
    parameterization: withDefault(word(['eps', 'x0']), 'eps'),
  },
  scheduleConfig,
)

export const ancestralSampling = adapter(ddpmConfig, (config, c) =>
  pipe(
    scheduleOf(config),
    E.flatMap((schedule) => {
      const all = schedule.betas.map((_, t) => t)
      const { path, transitions } = descend(schedule, all, 'data')
      const denoise: Denoiser = denoiserOf(c, config.parameterization, 1)
      return pipe(
        planSampling(ddpm({ vPosterior: config.v_posterior ?? 0 }), path, transitions),
        E.map((plan) =>
          loopPlan(c, {
            plan,
            denoise,
            inpaint: config.masked,
            ...(config.clip_denoised ? { keep: within(1) } : {}),
          }),
        ),
      )
    }),
  ),
)
