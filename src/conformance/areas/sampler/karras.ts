import { type Checked, type Effect, fail } from '../../../error.ts'
import type { Executor, Values } from '../../../execute/executor.ts'
import { reference } from '../../../execute/reference/index.ts'
import { E, pipe, TE } from '../../../prelude.ts'
import {
  chain,
  dpm2,
  dpm2Ancestral,
  dpmFast,
  dpmpp2m,
  dpmpp2mSde,
  dpmpp2sAncestral,
  dpmpp3mSde,
  dpmppSde,
  euler,
  eulerAncestral,
  heun,
  leaves,
  lms,
  planSampling,
  type Sampler,
} from '../../../samplers/index.ts'
import { gridRatios } from '../../../schedulers/levels.ts'
import { explodingPath } from '../../../schedulers/path.ts'
import { integer, number, record, text, withDefault, word } from '../../../schema.ts'
import type { Case } from '../../case.ts'
import { type Adapter, adapter } from '../../plan.ts'
import { wholeNumbers } from '../schedule.ts'
import { alongTheWay, closedForm, drawsBefore, numbers, stacked, trajectory } from './loop.ts'

/** k-diffusion's sampling functions, on sigma itself, over a denoiser in closed form. */

const options = record(
  {},
  {},
  {
    eta: number(),
    s_noise: number(),
    s_churn: number(),
    s_tmin: number(),
    s_tmax: number(),
    order: integer(),
    solver_type: word(['midpoint', 'heun']),
  },
)
type Options = (typeof options)['_A']

const config = record(
  { function: text, grid: word(['karras', 'exponential', 'polyexponential', 'vp']), steps: integer({ min: 1 }) },
  {
    kwargs: withDefault(options, {}),
    sigma_min: withDefault(number(), 0.0292),
    sigma_max: withDefault(number(), 14.6146),
  },
  { rho: number(), perturbation_gain: number() },
)

const inflated = ({ s_noise }: Options) => (s_noise === undefined ? {} : { inflate: s_noise })
const churn = (o: Options) => ({
  ...inflated(o),
  ...(o.s_churn === undefined ? {} : { churn: o.s_churn }),
  ...(o.s_tmin === undefined ? {} : { from: o.s_tmin }),
  ...(o.s_tmax === undefined ? {} : { to: o.s_tmax }),
})
const eta = (o: Options) => ({ ...inflated(o), ...(o.eta === undefined ? {} : { eta: o.eta }) })

/** The numbers of the calls that begin a step of the function, of so many calls in all. */
type Starts = (calls: number, steps: number) => readonly number[]
const each: Starts = (calls) => Array.from({ length: calls }, (_, i) => i)
const pairs: Starts = (_, steps) => Array.from({ length: steps }, (_, i) => 2 * i)
const threes: Starts = (calls) =>
  Array.from({ length: Math.floor(calls / 3) + 1 }, (_, i) =>
    calls % 3 === 0 && i === Math.floor(calls / 3) ? calls - 1 : 3 * i,
  )

interface Row {
  readonly sampler: (o: Options) => Sampler
  readonly starts: Starts
}
const functions: Readonly<Record<string, Row>> = {
  sample_euler: { sampler: (o) => euler(churn(o)), starts: each },
  sample_euler_ancestral: { sampler: (o) => eulerAncestral(eta(o)), starts: each },
  sample_heun: { sampler: (o) => heun(churn(o)), starts: pairs },
  sample_dpm_2: { sampler: (o) => dpm2(churn(o)), starts: pairs },
  sample_dpm_2_ancestral: { sampler: (o) => dpm2Ancestral(eta(o)), starts: pairs },
  sample_lms: { sampler: ({ order = 4 }) => lms({ order }), starts: each },
  sample_dpm_fast: { sampler: (o) => dpmFast(eta(o)), starts: threes },
  sample_dpmpp_2s_ancestral: { sampler: (o) => dpmpp2sAncestral(eta(o)), starts: pairs },
  sample_dpmpp_sde: { sampler: (o) => dpmppSde(eta(o)), starts: pairs },
  sample_dpmpp_2m: { sampler: () => dpmpp2m(), starts: each },
  sample_dpmpp_2m_sde: {
    sampler: (o) => dpmpp2mSde({ ...eta(o), ...(o.solver_type === undefined ? {} : { secondOrder: o.solver_type }) }),
    starts: each,
  },
  sample_dpmpp_3m_sde: { sampler: (o) => dpmpp3mSde(eta(o)), starts: each },
}

const sigmasOf = (c: Case, name: string): readonly number[] => Array.from(c.expected[name]?.data ?? [], Number)

/** sample_dpm_fast goes from one sigma to another and needs none between; others go by the case's sigmas. */
const walkAlong = (fast: boolean, steps: number, sigmas: readonly number[], least: number, most: number) => {
  const visited = fast ? [...gridRatios.exponential(most, least, steps), least] : sigmas
  return chain(visited.map((sigma) => ({ t: sigma, alpha: 1, sigma })))
}

const run = (c: Case, { sampler, starts }: Row, settings: (typeof config)['_A'], suffix: '' | '64') => {
  const sigmas = sigmasOf(c, `out.sigmas${suffix}`)
  const fast = settings.function === 'sample_dpm_fast'
  const transitions = walkAlong(fast, settings.steps, sigmas, settings.sigma_min, settings.sigma_max)
  return pipe(
    planSampling(sampler(settings.kwargs), explodingPath(settings.sigma_min, settings.sigma_max), transitions),
    E.map((plan) => {
      const first = starts(plan.steps.length, settings.steps)
      const outer = (step: number): number => first.filter((s) => s <= step).length - 1
      const told = plan.steps.map(({ level }) => level.t)
      const at = <A>(xs: readonly A[]): readonly A[] => xs.flatMap((x, i) => (first.includes(i) ? [x] : []))
      return (executor: Executor): Effect<Values> =>
        pipe(
          trajectory(c, {
            plan,
            denoise: closedForm,
            draws: {
              [leaves.noise]: { of: 'noise', at: drawsBefore(plan.steps) },
              [leaves.lift]: { of: 'noise', at: outer },
            },
          })(executor),
          TE.map(({ seen, predX0, final }) => ({
            [`out.x${suffix}`]: stacked(at(seen)),
            [`out.denoised${suffix}`]: stacked(at(predX0)),
            [`out.final${suffix}`]: final,
            ...(suffix === ''
              ? {
                  'out.calls': wholeNumber(told.length),
                  'out.call_sigmas': numbers(told),
                  'out.sigma_hat': numbers(at(told)),
                  'out.sigmas': numbers(gridOf(settings)),
                }
              : { 'out.sigmas64': numbers(gridOf(settings)) }),
          })),
        )
    }),
  )
}
const wholeNumber = (x: number) => ({ ...wholeNumbers([x]), shape: [] })

const gridOf = ({ grid, rho, steps, sigma_min, sigma_max }: (typeof config)['_A']): readonly number[] => [
  ...{
    karras: () => gridRatios.karras(sigma_max, sigma_min, steps, rho ?? 7),
    exponential: () => gridRatios.exponential(sigma_max, sigma_min, steps),
    polyexponential: () => gridRatios.exponential(sigma_max, sigma_min, steps, rho ?? 1),
    vp: () => continuousPreserving(steps),
  }[grid](),
  0,
]

/** Sigmas of the continuous variance preserving process (`get_sigmas_vp`): betas from 0.1 to 20, times from 1 to 1e-3. */
const continuousPreserving = (n: number): readonly number[] =>
  Array.from({ length: n }, (_, i) => {
    const t = 1 + (i / (n - 1)) * (1e-3 - 1)
    return Math.sqrt(Math.expm1((19.9 * t * t) / 2 + 0.1 * t))
  })

const karrasAdapter: Adapter = adapter(config, (settings, c) => {
  const row = functions[settings.function]
  if (row === undefined) return fail('config', '/function', Object.keys(functions).join(' | '), settings.function)
  return pipe(
    run(c, row, settings, ''),
    E.bindTo('single'),
    E.bind('double', (): Checked<(e: Executor) => Effect<Values>> => run(c, row, settings, '64')),
    E.map(({ single, double }) => ({
      kind: 'effect',
      tolerances: alongTheWay(c),
      run: (executor) =>
        pipe(
          single(executor),
          TE.bindTo('values'),
          TE.bind('more', () => double(reference)),
          TE.map(({ values, more }): Values => ({ ...values, ...more })),
        ),
    })),
  )
})

export const karrasAdapters: Readonly<Record<string, Adapter>> = Object.fromEntries(
  Object.keys(functions).map((name) => [`sampling.py ${name}`, karrasAdapter]),
)
