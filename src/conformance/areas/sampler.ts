import { add, cast, cos, mean, mul, perItem, type Tensor, tanh } from '../../declare/index.ts'
import { type Denoiser, denoiser, guide } from '../../diffusion/index.ts'
import { type Checked, type Effect, fail } from '../../error.ts'
import { type Executor, floats, type Value, type Values } from '../../execute/executor.ts'
import { feedTypes, type Graph } from '../../graph/graph.ts'
import { size } from '../../graph/types.ts'
import { E, pipe, TE } from '../../prelude.ts'
import {
  compVisSubset,
  ddim,
  ddpm,
  descend,
  leaves,
  type NoiseRequest,
  type PlannedStep,
  type Sampler,
  sample,
  stepGraph,
} from '../../samplers/index.ts'
import { compVisDdimValues } from '../../schedulers/compvis.ts'
import type { Column, NoiseSchedule } from '../../schedulers/noise-schedule.ts'
import { flag, integer, number, record, text, withDefault, word } from '../../schema.ts'
import { optimise } from '../../transform/index.ts'
import { type Case, toValue } from '../case.ts'
import { adapter, area, type Plan, skipped } from '../plan.ts'
import { given, optional } from '../rebuild.ts'
import { scheduleOf } from './diffusion.ts'
import { column, scheduleConfig, wholeNumbers } from './schedule.ts'

/** The model of these cases: tanh(x / 2) cos(t / 100) + mean(c) / 10. */
const toyModel =
  (conditioning: Tensor | undefined) =>
  (x: Tensor, t: Tensor): Tensor => {
    const wave = pipe(t, cast('float32'), mul(0.01), cos, perItem(x))
    const unconditional = pipe(x, mul(0.5), tanh, mul(wave))
    if (conditioning === undefined) return unconditional
    const axes = conditioning.shape.map((_, i) => i).slice(1)
    return pipe(unconditional, add(pipe(conditioning, mean({ axes }), mul(0.1), perItem(x))))
  }

/** Guided where the case has something to guide away from. */
const denoiserOf = (c: Case, predicts: 'eps' | 'x0', scale: number): Denoiser => {
  const conditional = denoiser(predicts, toyModel(optional(c, 'cond')))
  return 'uncond' in c.inputs && scale !== 1
    ? guide(scale)(conditional, denoiser(predicts, toyModel(given(c, 'uncond'))))
    : conditional
}

/** The k-th of the arrays along axis 0. */
const entry = (all: Value, k: number): Value => {
  const shape = all.shape.slice(1)
  const count = size(shape)
  return floats(shape, Float64Array.from(all.data.subarray(k * count, (k + 1) * count)))
}
const stacked = (parts: readonly Value[]): Value =>
  floats([parts.length, ...(parts[0]?.shape ?? [])], Float64Array.from(parts.flatMap(({ data }) => Array.from(data))))

/** Which of the case's drawn noise a step's leaf is filled with. */
const drawn: Readonly<Record<string, string>> = { [leaves.noise]: 'noise', [leaves.maskNoise]: 'q_noise' }
const noiseOf =
  (c: Case) =>
  ({ name, step, shape }: NoiseRequest): Value => {
    const all = c.inputs[drawn[name] ?? '']
    return all === undefined ? floats(shape, new Float64Array(size(shape))) : entry(toValue(all), step)
  }

/** What the step graph is fed that stays the same. */
const feedsOf = (c: Case, graph: Graph): Values => {
  const types = feedTypes(graph)
  const named: Readonly<Record<string, string>> = {
    'in.cond': 'cond',
    'in.uncond': 'uncond',
    [leaves.x0]: 'x0',
    [leaves.mask]: 'mask',
  }
  return Object.fromEntries(
    Object.entries(named).flatMap(([leaf, name]) => {
      const array = c.inputs[name]
      return array === undefined || !Object.hasOwn(types, leaf) ? [] : [[leaf, toValue(array)] as const]
    }),
  )
}

interface Loop<S extends string> {
  readonly sampler: Sampler<S>
  readonly plan: readonly PlannedStep[]
  readonly denoise: Denoiser
  readonly inpaint: boolean
}

/** Runs the loop: x before the first step and after every step, and the x_0 that each predicted. */
const trajectory =
  <S extends string>(c: Case, { sampler, plan, denoise, inpaint }: Loop<S>) =>
  (executor: Executor): Effect<Values> =>
    pipe(
      stepGraph(sampler, denoise, { shape: given(c, 'x_T').shape, inpaint }),
      E.map(optimise),
      E.bindTo('graph'),
      E.bind('xT', () => {
        const array = c.inputs.x_T
        return array === undefined ? fail('data', 'in.x_T', 'the noise to begin with', 'none') : E.right(toValue(array))
      }),
      TE.fromEither,
      TE.bind('executable', ({ graph }) => executor.compile(graph, { mode: 'sampling' })),
      TE.flatMap(({ graph, xT, executable }) => {
        const xs: Value[] = [xT]
        const x0s: Value[] = []
        const run = sample({
          graph,
          executable,
          plan,
          xT,
          noiseOf: noiseOf(c),
          feeds: feedsOf(c, graph),
          onStep: ({ x, predX0 }) => {
            xs.push(x)
            x0s.push(predX0)
            return TE.right(undefined)
          },
        })
        return pipe(
          run,
          TE.tapIO(() => executable.dispose),
          TE.map((final) => ({ 'out.x_inter': stacked(xs), 'out.pred_x0': stacked(x0s), 'out.final': final })),
        )
      }),
    )

const loopPlan = <S extends string>(c: Case, loop: Loop<S>, known: Values = {}): Plan => ({
  kind: 'effect',
  run: (executor) =>
    pipe(
      trajectory(c, loop)(executor),
      TE.map((values) => ({ ...values, ...known })),
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

const ddimPlan = (config: DdimConfig, c: Case): Checked<Plan> =>
  pipe(
    scheduleOf(config),
    E.bindTo('schedule'),
    E.bind('own', ({ schedule }) => ddimTables(config, schedule)),
    E.flatMap(({ schedule, own: { strided, tables } }) => {
      const sampler = ddim({
        eta: config.eta,
        temperature: config.temperature,
        end: config.use_original_steps ? 'data' : 'first timestep',
      })
      return pipe(
        sampler.plan(schedule, descend(visited(config, strided, schedule.timesteps))),
        E.map((plan) =>
          loopPlan(
            c,
            { sampler, plan, denoise: denoiserOf(c, 'eps', config.guidance_scale), inpaint: config.masked },
            tables,
          ),
        ),
      )
    }),
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

const ddpmPlan = (config: (typeof ddpmConfig)['_A'], c: Case): Checked<Plan> =>
  pipe(
    scheduleOf(config),
    E.flatMap((schedule) => {
      const sampler = ddpm(config.clip_denoised ? { clip: 1 } : {})
      return pipe(
        sampler.plan(schedule, descend(schedule.betas.map((_, t) => t))),
        E.map((plan) =>
          loopPlan(c, {
            sampler,
            plan,
            denoise: denoiserOf(c, config.parameterization, 1),
            inpaint: config.masked,
          }),
        ),
      )
    }),
  )

const laterSchedulers = [
  'scheduling_ddim.py DDIMScheduler',
  'scheduling_ddpm.py DDPMScheduler',
  'scheduling_dpmsolver_multistep.py DPMSolverMultistepScheduler',
  'scheduling_euler_ancestral_discrete.py EulerAncestralDiscreteScheduler',
  'scheduling_euler_discrete.py EulerDiscreteScheduler',
  'scheduling_heun_discrete.py HeunDiscreteScheduler',
  'scheduling_lms_discrete.py LMSDiscreteScheduler',
  'scheduling_pndm.py PNDMScheduler',
  'scheduling_unipc_multistep.py UniPCMultistepScheduler',
]

export const sampler = area(
  {
    'ddim.py DDIMSampler': adapter(ddimConfig, ddimPlan),
    'ddpm.py LatentDiffusion.p_sample_loop': adapter(ddpmConfig, ddpmPlan),
    'plms.py PLMSSampler': skipped('PLMS: later issue'),
    ...Object.fromEntries(laterSchedulers.map((name) => [name, skipped('schedulers of diffusers: later issue')])),
  },
  [
    { tensor: /timesteps$/, measure: 'exact', limit: 0 },
    { tensor: /sigmas$/, measure: 'elementwise', limit: 1e-11 },
    { tensor: /alphas(_prev|_cumprod)?$/, measure: 'elementwise', limit: 2e-7 },
    { tensor: /final$/, measure: 'scaled', limit: 5e-5 },
    { tensor: /./, measure: 'scaled', limit: 1e-5 },
  ],
)
