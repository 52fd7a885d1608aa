import type { Checked, Effect } from '../../../error.ts'
import type { Executor, Value, Values } from '../../../execute/executor.ts'
import { ints } from '../../../execute/executor.ts'
import { reference } from '../../../execute/reference/index.ts'
import { E, t as io, pipe, TE } from '../../../prelude.ts'
import { schedulerConfig } from '../../../samplers/diffusers/config.ts'
import { type Declared, type SchedulerName, schedulerOf } from '../../../samplers/diffusers/schedulers.ts'
import { leaves, planSampling, type SamplingPlan } from '../../../samplers/index.ts'
import { anything, decode, integer, number, record, text, withDefault } from '../../../schema.ts'
import type { Case } from '../../case.ts'
import { type Adapter, adapter } from '../../plan.ts'
import { scalarValue } from '../../stepping.ts'
import { alongTheWay, denoiserOf, drawsBefore, numbers, type Seen, stacked, times, trajectory } from './loop.ts'

/** The schedulers of diffusers, from their own configuration. */

const config = record(
  { scheduler: text, num_inference_steps: integer({ min: 1 }), config: anything },
  { step_kwargs: withDefault(anything, {}), set_timesteps_kwargs: withDefault(anything, {}) },
  { n_timesteps: integer(), init_args: anything, perturbation_gain: number() },
)
type Config = (typeof config)['_A']

const object = (u: unknown): Readonly<Record<string, unknown>> => (io.UnknownRecord.is(u) ? u : {})
/** Configurations have `null` for what is not set, and options of other classes. */
const options = (u: unknown): Readonly<Record<string, unknown>> => {
  const known = Object.keys(object(schedulerConfig.json.properties))
  return Object.fromEntries(Object.entries(object(u)).filter(([k, v]) => known.includes(k) && v !== null))
}

const declared = (c: Config, round: (x: number) => number): Checked<Declared & { readonly plan: SamplingPlan }> =>
  pipe(
    decode(schedulerConfig)(options(c.config)),
    E.flatMap((own) =>
      schedulerOf(c.scheduler, own, {
        steps: c.num_inference_steps,
        round,
        step: object(c.step_kwargs),
        set: object(c.set_timesteps_kwargs),
      }),
    ),
    E.flatMap((d) =>
      pipe(
        planSampling(d.sampler, d.path, d.transitions),
        E.map((plan) => ({ ...d, plan })),
      ),
    ),
  )

/** alpha where x lies after each call: where the network is asked next. */
export const scales = ({
  exploding,
  plan,
  transitions,
}: Declared & { readonly plan: SamplingPlan }): readonly number[] => {
  const ends = [...plan.steps.slice(1).map(({ level }) => level.alpha), transitions.at(-1)?.next.alpha ?? 1]
  return ends.map((alpha) => (exploding ? 1 / alpha : 1))
}

const loop = (c: Case, d: Declared & { readonly plan: SamplingPlan }): ((executor: Executor) => Effect<Seen>) =>
  trajectory(c, {
    plan: d.plan,
    denoise: denoiserOf(c, d.predicts, 1),
    draws: {
      [leaves.noise]: { of: 'noise', at: drawsBefore(d.plan.steps) },
      [leaves.lift]: { of: 'noise', at: (step) => step },
    },
    ...(d.keep === undefined ? {} : { keep: d.keep }),
    ...(d.exploding ? { scale: d.plan.steps[0]?.level.alpha ?? 1 } : {}),
  })

/** Schedulers of two calls a step keep each level's sigma twice; DPM2 the last one even three times. */
export const twice = (name: string, sigmas: readonly number[]): readonly number[] => {
  const doubled = sigmas.flatMap((s, i) => (i === 0 ? [s] : [s, s]))
  return name.startsWith('KDPM2')
    ? [...doubled, ...sigmas.slice(-1)]
    : name.includes('Heun')
      ? doubled.slice(0, -1)
      : sigmas
}

const timestepsOf = (c: Case, { plan }: { readonly plan: SamplingPlan }): Value => {
  const told = plan.steps.map(({ level }) => level.t)
  return c.expected['out.timesteps']?.dtype === 'int64' ? ints([told.length], Int32Array.from(told)) : numbers(told)
}

const seenOf = (c: Case, settings: Config, d: Declared & { readonly plan: SamplingPlan }, s: Seen): Values => {
  const scale = scales(d)
  const x = s.x.map((value, i) => times(scale[i] ?? 1)(value))
  return {
    'out.timesteps': timestepsOf(c, d),
    'out.model_in': stacked(s.seen),
    'out.model_out': stacked(s.said),
    'out.x': stacked(x),
    'out.final': x.at(-1) ?? s.final,
    'out.pred_original_sample': stacked(s.predX0),
    'out.init_noise_sigma': scalarValue(d.initial),
    ...(d.sigmas === undefined ? {} : { 'out.sigmas': numbers(twice(settings.scheduler, d.sigmas)) }),
    ...(d.betas === undefined ? {} : { 'out.betas': numbers(d.betas) }),
    ...(d.alphasCumprod === undefined ? {} : { 'out.alphas_cumprod': numbers(d.alphasCumprod) }),
  }
}

/**
 * The same in double precision. The model is told times in single precision there too: whole ones as the run in single had them, which
 * casts what rounding put below a whole number; others rounded.
 */
const inDouble = (c: Case, settings: Config, single: Declared & { readonly plan: SamplingPlan }) =>
  pipe(
    declared(settings, (x) => x),
    E.map((d) => {
      const whole = single.plan.steps.every(({ level }) => Number.isInteger(level.t))
      const told = (t: number, i: number): number => (whole ? (single.plan.steps[i]?.level.t ?? t) : Math.fround(t))
      const steps = d.plan.steps.map((step, i) => ({ ...step, level: { ...step.level, t: told(step.level.t, i) } }))
      const run = (executor: Executor): Effect<Values> =>
        pipe(
          loop(c, { ...d, plan: { ...d.plan, steps } })(executor),
          TE.map((s) => {
            const values = seenOf(c, settings, whole ? { ...d, plan: { ...d.plan, steps } } : d, s)
            return Object.fromEntries(
              ['x', 'final', 'sigmas', 'timesteps'].flatMap((name) => {
                const value = values[`out.${name}`]
                return value === undefined ? [] : [[`out.${name}64`, value] as const]
              }),
            )
          }),
        )
      return { run }
    }),
  )

const diffusersAdapter: Adapter = adapter(config, (settings, c) =>
  pipe(
    declared(settings, Math.fround),
    E.bindTo('single'),
    E.bind('double', ({ single }) => inDouble(c, settings, single)),
    E.map(({ single, double }) => ({
      kind: 'effect',
      tolerances: alongTheWay(c),
      run: (executor) =>
        pipe(
          loop(c, single)(executor),
          TE.map((s) => seenOf(c, settings, single, s)),
          TE.flatMap((values) =>
            'out.x64' in c.expected
              ? pipe(
                  double.run(reference),
                  TE.map((more): Values => ({ ...values, ...more })),
                )
              : TE.right(values),
          ),
        ),
    })),
  ),
)

/** By the reference's file and class. */
const files = {
  DDIMScheduler: 'ddim',
  DDPMScheduler: 'ddpm',
  DEISMultistepScheduler: 'deis_multistep',
  DPMSolverMultistepScheduler: 'dpmsolver_multistep',
  DPMSolverSinglestepScheduler: 'dpmsolver_singlestep',
  EulerAncestralDiscreteScheduler: 'euler_ancestral_discrete',
  EulerDiscreteScheduler: 'euler_discrete',
  FlowMatchEulerDiscreteScheduler: 'flow_match_euler_discrete',
  FlowMatchHeunDiscreteScheduler: 'flow_match_heun_discrete',
  HeunDiscreteScheduler: 'heun_discrete',
  KDPM2AncestralDiscreteScheduler: 'k_dpm_2_ancestral_discrete',
  KDPM2DiscreteScheduler: 'k_dpm_2_discrete',
  LCMScheduler: 'lcm',
  LMSDiscreteScheduler: 'lms_discrete',
  PNDMScheduler: 'pndm',
  UniPCMultistepScheduler: 'unipc_multistep',
} satisfies Readonly<Record<SchedulerName, string>>
export const diffusersAdapters: Readonly<Record<string, Adapter>> = Object.fromEntries(
  Object.entries(files).map(([name, file]) => [`scheduling_${file}.py ${name}`, diffusersAdapter]),
)
