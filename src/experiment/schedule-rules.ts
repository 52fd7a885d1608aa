import { type Parameterization, parameterizations } from '../diffusion/parameterization.ts'
import { E } from '../prelude.ts'
import type { Spacing } from '../schedulers/levels.ts'
import { type Column, type NoiseSchedule, noiseSchedule } from '../schedulers/noise-schedule.ts'
import type { Diffusion } from './document.ts'
import { type Problems, problem, setting, unless } from './problems.ts'
import type { Sampling } from './sampling.ts'
import type { Schedule } from './schedule.ts'

/** Rules of a noise schedule and of what a network predicts along it. */

const at = '/diffusion/schedule'

/** What is added to a number near 1 is lost to float32's rounding below this. */
const leastShare = 2 ** -24
/** Samplers divide alpha-bars by each other, in float64. */
const leastAlphaBar = 2 ** -1022

/** Where a share of x_t = alpha x_0 + sigma eps is lost, and how small it is there. */
interface Lost {
  readonly timestep: number
  readonly share: string
  readonly part: string
}
const lostIn = (column: Column, least: number, part: string): Lost | undefined => {
  const timestep = column.findIndex((x) => x < least)
  return timestep < 0 ? undefined : { timestep, part, share: (column[timestep] ?? 0).toPrecision(2) }
}
/** alpha-bar but for a last timestep without signal, which samplers know of. */
const withSignal = ({ alphasCumprod }: NoiseSchedule): Column =>
  alphasCumprod.at(-1) === 0 ? alphasCumprod.slice(0, -1) : alphasCumprod
const inFloat32 = (column: Column): Column => column.map(Math.fround)

/** What a sampler cannot tell from x_t and a prediction in float32, training and sampling visiting every timestep: it would divide by alpha, or by sigma. */
const lost: { readonly [P in Parameterization]: (s: NoiseSchedule) => Lost | undefined } = {
  eps: (s) => lostIn(inFloat32(s.sqrtAlphasCumprod), leastShare, 'x_0'),
  x0: (s) => lostIn(inFloat32(s.sqrtOneMinusAlphasCumprod), leastShare, 'the noise') ?? lost.v(s),
  v: (s) => lostIn(withSignal(s), leastAlphaBar, 'x_0'),
  flow: (s) => lost.v(s),
}

type Discrete = Exclude<Schedule, { readonly kind: 'flow' }>
type Ends = Extract<Discrete, { readonly betaStart: number }>
const hasEnds = (schedule: Discrete): schedule is Ends => 'betaStart' in schedule

const passes = (schedule: Ends, timesteps: number): boolean => {
  const made = noiseSchedule({ ...schedule, timesteps })
  return E.isRight(made) && parameterizations.every((p) => lost[p](made.right) === undefined)
}
/** So many timesteps that no target loses anything, the variances between the same ends; alpha-bar falls nearly as a power of their number. */
const fewerTimesteps = (schedule: Ends, { betas }: NoiseSchedule): number => {
  const fallen = betas.reduce((sum, beta) => sum + Math.log1p(-beta), 0)
  const shrink = (timesteps: number): number =>
    timesteps <= 2 || passes(schedule, timesteps) ? timesteps : shrink(Math.max(2, Math.floor(0.9 * timesteps)))
  return shrink(Math.max(2, Math.floor((betas.length * 2 * Math.log(leastShare)) / fallen)))
}

/** What is offered first in the place of a target that cannot be told. */
const preferred: readonly Parameterization[] = ['v', 'x0', 'eps', 'flow']

const targetRule = (schedule: Discrete, predicts: Parameterization, columns: NoiseSchedule): Problems => {
  const found = lost[predicts](columns)
  if (found === undefined) return []
  const { timestep, share, part } = found
  const why =
    Number(share) === 0
      ? `nothing of ${part} is left in x_t at timestep ${timestep}`
      : `${part} has a share of ${share} in x_t at timestep ${timestep}, which is lost to rounding`
  const others = preferred.filter((p) => lost[p](columns) === undefined)
  const [other] = others
  return other !== undefined
    ? [
        problem(
          '/diffusion/predicts',
          `${others.map((p) => `"${p}"`).join(' | ')}: ${why}`,
          predicts,
          setting({ '/diffusion/predicts': other }),
        ),
      ]
    : !hasEnds(schedule)
      ? [problem(at, `a schedule that can be inverted: ${why}`, schedule)]
      : [
          problem(
            `${at}/timesteps`,
            `fewer timesteps, or smaller variances: ${why}`,
            schedule.timesteps,
            setting({ [`${at}/timesteps`]: fewerTimesteps(schedule, columns) }),
          ),
        ]
}

const endsRule = (schedule: Discrete): Problems =>
  hasEnds(schedule)
    ? unless(
        schedule.betaStart <= schedule.betaEnd,
        `${at}/betaStart`,
        `at most betaEnd, ${schedule.betaEnd}, as the variance of the noise rises`,
        schedule.betaStart,
      )
    : []

/** At its last time a flow is all noise. */
const flowRule = (predicts: Parameterization): Problems =>
  unless(
    predicts !== 'eps',
    '/diffusion/predicts',
    '"flow" | "v" | "x0": nothing of x_0 is left where a flow is all noise',
    predicts,
    setting({ '/diffusion/predicts': 'flow' }),
  )

export const scheduleRules = ({ schedule, predicts }: Diffusion): Problems => {
  if (schedule.kind === 'flow') return flowRule(predicts)
  const ends = endsRule(schedule)
  const columns = noiseSchedule(schedule)
  return ends.length > 0
    ? ends
    : E.isLeft(columns)
      ? columns.left.map((e) => ({ ...e, at: `${at}${e.at}` }))
      : targetRule(schedule, predicts, columns.right)
}

/** Spacings that leave the last timestep out. */
const shortOfNoise: readonly Spacing[] = ['leading', 'uniform', 'quad']

/** What of sampling must fit what was trained. */
export const walkRules = (sampling: Sampling, { schedule, variance }: Diffusion): Problems => [
  ...unless(
    !('zeroTerminalSnr' in schedule && schedule.zeroTerminalSnr && shortOfNoise.includes(sampling.spacing)),
    '/sampling/spacing',
    'one that begins at the last timestep, which alone is all noise (zeroTerminalSnr)',
    sampling.spacing,
    setting({ '/sampling/spacing': 'trailing' }),
  ),
  ...unless(
    !(sampling.sampler === 'ddpm' && sampling.variance === 'learned' && variance.kind !== 'learned'),
    '/sampling/variance',
    '"small" | "large", as the network learns no variance (/diffusion/variance)',
    'learned',
    setting({ '/sampling/variance': 'small' }),
  ),
]
