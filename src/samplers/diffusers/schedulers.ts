import { dynamicThreshold, within } from '../../diffusion/keep.ts'
import type { Parameterization } from '../../diffusion/parameterization.ts'
import { type Checked, fail } from '../../error.ts'
import { E } from '../../prelude.ts'
import { discretePathOf, type Level, type Path } from '../../schedulers/path.ts'
import { ddim } from '../ddim.ts'
import { ddpm } from '../ddpm.ts'
import { deis } from '../deis.ts'
import { dpm2, dpm2Ancestral } from '../dpm-2.ts'
import { dpmMultistep } from '../dpm-multistep.ts'
import { dpmSinglestep } from '../dpm-singlestep.ts'
import { euler } from '../euler.ts'
import { eulerAncestral } from '../euler-ancestral.ts'
import { heun } from '../heun.ts'
import { lcm } from '../lcm.ts'
import { lms } from '../lms.ts'
import { plms } from '../plms.ts'
import { renoise } from '../renoise.ts'
import type { Sampler, Transition } from '../sampler.ts'
import type { Keep } from '../step-graph.ts'
import { unipc } from '../unipc.ts'
import type { SchedulerConfig } from './config.ts'
import { flowLevels, type Leveled, multistepLevels, sigmaLevels } from './levels.ts'
import { type Round, type Spacing, type Tables, tablesOf, timestepOf, wholeTimesteps } from './tables.ts'

/** What a run asks of a scheduler beside its configuration. */
export interface Call {
  readonly steps: number
  readonly round: Round
  /** Of `step`: `eta`, `use_clipped_model_output`, `s_churn`, `s_tmin`, `s_tmax`, `s_noise`, `order`. */
  readonly step: Readonly<Record<string, unknown>>
  /** Of `set_timesteps`: `mu`. */
  readonly set: Readonly<Record<string, unknown>>
}

/** A scheduler of diffusers in this project's words. */
export interface Declared {
  readonly path: Path
  readonly transitions: readonly Transition[]
  readonly sampler: Sampler
  readonly predicts: Parameterization
  readonly keep?: Keep
  /** sigma / alpha at the levels, where the scheduler keeps them. */
  readonly sigmas?: readonly number[]
  /** beta and alpha-bar at the timesteps trained on, where it has such. */
  readonly betas?: readonly number[]
  readonly alphasCumprod?: readonly number[]
  /** What standard normal noise is multiplied by to begin with. */
  readonly initial: number
  /** Whether x is kept as x_0 + sigma eps and scaled before the network sees it. */
  readonly exploding: boolean
}

const numberOr = (x: unknown, fallback: number): number => (typeof x === 'number' ? x : fallback)

const predictions: { readonly [K in SchedulerConfig['prediction_type']]: Parameterization } = {
  epsilon: 'eps',
  sample: 'x0',
  v_prediction: 'v',
  flow_prediction: 'flow',
}

const keepOf = (c: SchedulerConfig, clipByDefault: boolean): { readonly keep?: Keep } =>
  c.thresholding
    ? { keep: dynamicThreshold({ share: c.dynamic_thresholding_ratio, most: c.sample_max_value }) }
    : (c.clip_sample ?? clipByDefault)
      ? { keep: within(c.clip_sample_range) }
      : {}

const tiny = 2 ** -24

type Row = (c: SchedulerConfig, call: Call) => Omit<Declared, 'predicts'>

/** Schedulers that keep x as x_0 + sigma eps. */
const exploding =
  (of: (c: SchedulerConfig, call: Call) => Sampler, { rounds = false, clips = false } = {}): Row =>
  (c, call) => {
    const tables = tablesOf(c, call.round, tiny)
    const { transitions, sigmas } = sigmaLevels(c, tables, call.steps, rounds)
    const largest = Math.max(...sigmas)
    const spread = (c.timestep_spacing ?? 'linspace') === 'leading' ? Math.hypot(largest, 1) : largest
    return {
      path: {
        ...discretePathOf(tables.sigmas.map(Math.log)),
        timeOf: (ratio) => timestepOf(tables, ratio, call.round),
      },
      transitions,
      sampler: of(c, call),
      ...(clips ? keepOf(c, false) : {}),
      sigmas,
      betas: tables.betas,
      alphasCumprod: tables.alphasCumprod,
      initial: spread,
      exploding: true,
    }
  }

const churnOf = ({ step }: Call) => ({
  churn: numberOr(step.s_churn, 0),
  from: numberOr(step.s_tmin, 0),
  to: numberOr(step.s_tmax, Number.POSITIVE_INFINITY),
  inflate: numberOr(step.s_noise, 1),
})

/** Exponential integrators, which keep x on the path. */
const integrators =
  (
    of: (c: SchedulerConfig, call: Call) => Sampler,
    levelsOf: (c: SchedulerConfig, t: Tables, call: Call) => Leveled,
  ): Row =>
  (c, call) => {
    const tables = tablesOf(c, call.round, tiny)
    const { transitions, sigmas } = levelsOf(c, tables, call)
    return {
      path: c.use_flow_sigmas ? flowOf(c) : discretePathOf(tables.sigmas.map(Math.log)),
      transitions,
      sampler: of(c, call),
      ...keepOf({ ...c, clip_sample: false }, false),
      sigmas,
      betas: tables.betas,
      alphasCumprod: tables.alphasCumprod,
      initial: 1,
      exploding: false,
    }
  }

const flowOf = ({ num_train_timesteps: total }: SchedulerConfig): Path => ({
  kind: 'flow',
  span: [1, total],
  whole: false,
  along: (share) => share * total,
  at: (t) => ({ alpha: 1 - t / total, sigma: t / total }),
  timeOf: (ratio) => (total * ratio) / (1 + ratio),
})

const few = 15
const lowerAtEnd = (c: SchedulerConfig, { steps }: Call) =>
  (c.lower_order_final ?? true) && steps < few ? 'last two' : c.euler_at_final ? 'last' : 'data'
const algorithms = {
  dpmsolver: { integrand: 'eps', eta: 0 },
  'dpmsolver++': { integrand: 'x0', eta: 0 },
  'sde-dpmsolver': { integrand: 'eps', eta: 1 },
  'sde-dpmsolver++': { integrand: 'x0', eta: 1 },
  deis: { integrand: 'x0', eta: 0 },
} as const
const secondOrder = (c: SchedulerConfig) => (c.solver_type === 'heun' ? 'heun' : 'midpoint')

const multistep = (c: SchedulerConfig, call: Call): Sampler =>
  dpmMultistep({
    ...algorithms[c.algorithm_type ?? 'dpmsolver++'],
    order: c.solver_order,
    secondOrder: secondOrder(c),
    lowerAtEnd: lowerAtEnd(c, call),
    thirdOrder: 'diffusers',
  })

const singlestep = (c: SchedulerConfig, { steps }: Call): Sampler =>
  dpmSinglestep({
    ...algorithms[c.algorithm_type ?? 'dpmsolver++'],
    order: c.solver_order,
    secondOrder: secondOrder(c),
    lowerAtEnd: (c.lower_order_final ?? false) || c.final_sigmas_type === 'zero' || steps % c.solver_order !== 0,
    thirdOrder: 'diffusers',
  })

const corrector = (c: SchedulerConfig): Sampler =>
  unipc({
    order: c.solver_order,
    variant: c.solver_type === 'bh1' ? 'bh1' : 'bh2',
    integrand: c.predict_x0 ? 'x0' : 'eps',
    uncorrected: c.disable_corrector,
    lowerAtEnd: c.lower_order_final ?? true,
  })

/** Schedulers on whole timesteps, whose steps go to a timestep of their own choice; -1 is the data, or what stands for it. */
const whole =
  (
    of: (c: SchedulerConfig, call: Call, visited: readonly number[]) => Sampler,
    o: {
      readonly spacing: Spacing
      readonly clips: boolean
      /** Whether steps end at the data, or at alpha-bar 1 or that of timestep 0 unless the configuration says otherwise. */
      readonly ends: 'data' | 'one' | 'first'
      readonly next: (visited: readonly number[], i: number, stride: number) => number
      readonly visits?: (c: SchedulerConfig, steps: number) => readonly number[]
    },
  ): Row =>
  (c, call) => {
    const { betas, alphasCumprod } = tablesOf(c, call.round, undefined)
    const last = o.ends === 'data' || (c.set_alpha_to_one ?? o.ends === 'one') ? 1 : (alphasCumprod[0] ?? 1)
    const level = (t: number): Level => {
      const bar = t < 0 ? last : (alphasCumprod[t] ?? Number.NaN)
      return { t, alpha: Math.sqrt(bar), sigma: Math.sqrt(1 - bar) }
    }
    const visited = o.visits?.(c, call.steps) ?? wholeTimesteps(c.timestep_spacing ?? o.spacing, call.steps, c)
    const stride = Math.floor(c.num_train_timesteps / call.steps)
    return {
      path: { ...discretePathOf(alphasCumprod.map((a) => Math.log((1 - a) / a) / 2)), at: level },
      transitions: visited.map((t, i) => ({ here: level(t), next: level(o.next(visited, i, stride)) })),
      sampler: of(c, call, visited),
      ...keepOf(c, o.clips),
      betas,
      alphasCumprod,
      initial: 1,
      exploding: false,
    }
  }

const strided = (visited: readonly number[], i: number, stride: number): number => (visited[i] ?? 0) - stride
const following = (visited: readonly number[], i: number): number => visited[i + 1] ?? -1

/** Timesteps of a latent consistency model: spread over those that its teacher was asked at. */
const consistencyTimesteps = (
  { num_train_timesteps, original_inference_steps: original }: SchedulerConfig,
  steps: number,
): readonly number[] => {
  const stride = Math.floor(num_train_timesteps / original)
  return Array.from({ length: steps }, (_, i) => (original - Math.floor((i * original) / steps)) * stride - 1)
}

/** Without Runge and Kutta's steps the second timestep is told twice. */
const calledTimesteps = (c: SchedulerConfig, steps: number): readonly number[] => {
  const visited = wholeTimesteps(c.timestep_spacing ?? 'leading', steps, c)
  return c.skip_prk_steps ? [...visited.slice(0, 2), ...visited.slice(1)] : visited
}

const flow =
  (of: (c: SchedulerConfig) => Sampler): Row =>
  (c, call) => {
    const { transitions, sigmas } = flowLevels(c, call.steps, call.round, call.set.mu)
    return { path: flowOf(c), transitions, sampler: of(c), sigmas, initial: 1, exploding: false }
  }

const rows = {
  EulerDiscreteScheduler: exploding((_, call) => euler(churnOf(call))),
  EulerAncestralDiscreteScheduler: exploding(() => eulerAncestral()),
  HeunDiscreteScheduler: exploding(() => heun(), { clips: true }),
  KDPM2DiscreteScheduler: exploding(() => dpm2(), { rounds: true }),
  KDPM2AncestralDiscreteScheduler: exploding(() => dpm2Ancestral(), { rounds: true }),
  LMSDiscreteScheduler: exploding((_, { step }) => lms({ order: numberOr(step.order, 4) })),
  DPMSolverMultistepScheduler: integrators(multistep, (c, tables, call) =>
    multistepLevels(c, tables, call.steps, 'multistep'),
  ),
  DPMSolverSinglestepScheduler: integrators(singlestep, (c, tables, call) =>
    multistepLevels(c, tables, call.steps, 'singlestep'),
  ),
  UniPCMultistepScheduler: integrators(corrector, (c, tables, call) =>
    multistepLevels(c, tables, call.steps, 'unipc', call.set.mu),
  ),
  DEISMultistepScheduler: integrators(
    (c, call) => deis({ order: c.solver_order, lowerAtEnd: lowerAtEnd({ ...c, euler_at_final: false }, call) }),
    (c, tables, call) => multistepLevels(c, tables, call.steps, 'deis'),
  ),
  DDIMScheduler: whole(
    (_, { step }) => ({
      ...ddim({ eta: numberOr(step.eta, 0) }),
      ...(step.use_clipped_model_output === true ? { clippedEps: 'implied' as const } : {}),
    }),
    { spacing: 'leading', clips: true, ends: 'one', next: strided },
  ),
  DDPMScheduler: whole(
    (c, _, visited) =>
      ddpm({
        vPosterior: c.variance_type === 'fixed_large' ? 1 : c.variance_type === 'learned_range' ? 'learned' : 0,
        noisyEnd: (visited.at(-1) ?? 0) > 0,
      }),
    { spacing: 'leading', clips: true, ends: 'data', next: following },
  ),
  PNDMScheduler: whole(
    (c, { steps }) =>
      plms({
        averages: c.prediction_type === 'v_prediction' ? 'v' : 'eps',
        stride: Math.floor(c.num_train_timesteps / steps),
        rungeKutta: !c.skip_prk_steps,
      }),
    { spacing: 'leading', clips: false, ends: 'first', next: following, visits: calledTimesteps },
  ),
  LCMScheduler: whole((c) => lcm({ timestepScaling: c.timestep_scaling }), {
    spacing: 'leading',
    clips: false,
    ends: 'data',
    next: following,
    visits: consistencyTimesteps,
  }),
  FlowMatchEulerDiscreteScheduler: flow((c) => (c.stochastic_sampling ? renoise() : euler())),
  FlowMatchHeunDiscreteScheduler: flow(() => heun()),
} satisfies Readonly<Record<string, Row>>
export type SchedulerName = keyof typeof rows
export const schedulerNames = Object.keys(rows)
const isName = (name: string): name is SchedulerName => Object.hasOwn(rows, name)

/** Combinations that the configuration can write and this code does not take. */
const refusals = (name: SchedulerName, c: SchedulerConfig): readonly string[] => [
  ...(c.invert_sigmas ? ['invert_sigmas'] : []),
  ...(name !== 'DDPMScheduler' && c.beta_schedule === 'sigmoid' ? ['beta_schedule sigmoid'] : []),
  ...(name === 'DDPMScheduler' && ['learned', 'fixed_large_log'].includes(c.variance_type ?? '')
    ? [`variance_type ${c.variance_type}`]
    : []),
]

/**
 * What a scheduler of diffusers does, by its class and configuration: path, steps and sampler. Errors (`config`): a class or a
 * combination that is not taken, by name.
 */
export const schedulerOf = (name: string, c: SchedulerConfig, call: Call): Checked<Declared> => {
  if (!isName(name)) return fail('config', '/_class_name', schedulerNames.join(' | '), name)
  const refused = refusals(name, c)
  if (refused.length > 0) return fail('config', '/', `options that ${name} is taken with`, refused.join(', '))
  const flows = name.startsWith('FlowMatch')
  return E.right({ ...rows[name](c, call), predicts: flows ? 'flow' : predictions[c.prediction_type] })
}
