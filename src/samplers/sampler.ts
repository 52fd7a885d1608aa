import type { Tensor } from '../declare/index.ts'
import type { Denoiser } from '../diffusion/denoiser.ts'
import type { Mixture } from '../diffusion/parameterization.ts'
import type { Checked } from '../error.ts'
import type { NoiseSchedule } from '../schedulers/noise-schedule.ts'
import type { Transition } from './transitions.ts'

/** The coefficients every sampler has: the shares of signal and noise in x_t. */
export type Shares = keyof Mixture

/** One step as numbers, all computed in float64. */
export interface PlannedStep<C extends string = string> {
  /** Counts the steps of the whole plan; a part of a plan keeps it, and with it each step's noise. */
  readonly index: number
  readonly t: number
  readonly coefficients: Readonly<Record<C, number>>
}

/** What the step graph holds for a sampler; coefficients are scalars. */
export interface StepInput<C extends string> {
  readonly xt: Tensor
  /** int32[N] */
  readonly t: Tensor
  readonly coefficients: Readonly<Record<C, Tensor>>
  /** N(0, I) of the shape of xt; a deterministic sampler leaves it alone. */
  readonly noise: Tensor
}

/**
 * A sampler as a value: numbers for each step, and one step as a graph over these numbers. The graph is the same at all steps,
 * so it is compiled once.
 */
export interface Sampler<C extends string = string> {
  readonly name: string
  readonly coefficients: readonly (C | Shares)[]
  /** Whether a known part of the picture is put in before or after the step. */
  readonly imposes: 'before' | 'after'
  readonly plan: (
    schedule: NoiseSchedule,
    transitions: readonly Transition[],
  ) => Checked<readonly PlannedStep<C | Shares>[]>
  readonly step: (denoise: Denoiser, input: StepInput<C | Shares>) => { readonly x: Tensor; readonly predX0: Tensor }
}
