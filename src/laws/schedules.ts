import fc from 'fast-check'
import { TE } from '../prelude.ts'
import type { NoiseSchedule } from '../schedulers/noise-schedule.ts'
import { type Law, law } from './law.ts'
import { compared } from './numbers.ts'

/** A noise schedule is what its name says: each kind by its formula, written down here once more. */

/** Along the timesteps, from 0 to 1. */
type Formula = (share: number, step: { readonly t: number; readonly timesteps: number }) => number
interface Ends {
  readonly betaStart: number
  readonly betaEnd: number
}
const between = (from: number, to: number, share: number): number => from + (to - from) * share

interface Written {
  readonly equation: string
  readonly source: string
  readonly beta: Formula
}
const rising = {
  linear: ({ betaStart, betaEnd }: Ends): Written => ({
    equation: 'beta_t = b_0 + (b_1 - b_0) t / (T - 1)',
    source: 'Ho et al. 2020, section 4',
    beta: (share) => between(betaStart, betaEnd, share),
  }),
  'scaled-linear': ({ betaStart, betaEnd }: Ends): Written => ({
    equation: 'beta_t = (sqrt b_0 + (sqrt b_1 - sqrt b_0) t / (T - 1))^2',
    source: 'CompVis latent-diffusion, make_beta_schedule "linear"',
    beta: (share) => between(Math.sqrt(betaStart), Math.sqrt(betaEnd), share) ** 2,
  }),
  sqrt: ({ betaStart, betaEnd }: Ends): Written => ({
    equation: 'beta_t = sqrt(b_0 + (b_1 - b_0) t / (T - 1))',
    source: 'CompVis latent-diffusion, make_beta_schedule "sqrt"',
    beta: (share) => Math.sqrt(between(betaStart, betaEnd, share)),
  }),
}
type Rising = keyof typeof rising
const isRising = (kind: string): kind is Rising => Object.hasOwn(rising, kind)

const cosine = (offset: number): Written => {
  const f = (u: number): number => Math.cos(((u + offset) / (1 + offset)) * (Math.PI / 2)) ** 2
  return {
    equation: 'beta_t = min(1 - f((t + 1) / T) / f(t / T), 0.999), f(u) = cos((u + s) / (1 + s) pi / 2)^2',
    source: 'Nichol and Dhariwal 2021, equation 17',
    beta: (_, { t, timesteps }) => Math.min(1 - f((t + 1) / timesteps) / f(t / timesteps), 0.999),
  }
}

/** What a schedule is declared by. */
interface Declared {
  readonly kind: string
  readonly betaStart?: number
  readonly betaEnd?: number
  readonly offset?: number
  readonly zeroTerminalSnr?: boolean
}
const formulaOf = ({ kind, betaStart, betaEnd, offset }: Declared): Written | undefined =>
  isRising(kind) && betaStart !== undefined && betaEnd !== undefined
    ? rising[kind]({ betaStart, betaEnd })
    : kind === 'cosine' && offset !== undefined
      ? cosine(offset)
      : undefined

/** That a schedule's variances are those of its formula; of kinds that have one here, and are not rescaled afterwards. */
export const formulaLaws = (declared: Declared, { betas, timesteps }: NoiseSchedule): readonly Law[] => {
  const formula = declared.zeroTerminalSnr === true ? undefined : formulaOf(declared)
  if (formula === undefined) return []
  const expected = (t: number): number => formula.beta(timesteps === 1 ? 0 : t / (timesteps - 1), { t, timesteps })
  return [
    law({
      name: `a ${declared.kind} schedule is its formula`,
      equation: formula.equation,
      source: formula.source,
      tolerance: { float64: 1e-9, float32: 1e-9 },
      arbitrary: fc.integer({ min: 0, max: timesteps - 1 }),
      deviation: (t) => TE.right(Math.abs((betas[t] ?? Number.NaN) / expected(t) - 1)),
      tells: (t) => TE.right([`at timestep ${t} of ${timesteps}`, compared('variance beta', expected(t), betas[t])]),
    }),
  ]
}
