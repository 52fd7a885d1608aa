import type { Parameterization } from '../diffusion/parameterization.ts'
import { type Checked, fail } from '../error.ts'
import { processOf } from '../experiment/process.ts'
import { E, pipe } from '../prelude.ts'
import { type Declared, schedulerOf } from '../samplers/diffusers/schedulers.ts'
import { chain, ddim, type Keep, planSampling, plms, type SamplingPlan, type Transition } from '../samplers/index.ts'
import { discretePathOf, type Level, levelAt, type Path } from '../schedulers/path.ts'
import { timesteps } from '../schedulers/timesteps.ts'
import type { PipelineDocument, PipelineSampling } from './document.ts'

/** Which way a request takes from noise to latents. */

export interface Steps {
  readonly steps: number
  /** How much noise DDIM draws. */
  readonly eta: number
  /** The share of the way that is walked, its end. */
  readonly strength: number
}

export interface Walk {
  readonly plan: SamplingPlan
  readonly predicts: Parameterization
  readonly keep?: Keep
  /** The level of the noise that a picture is given to begin with. */
  readonly start: Level
  /** What standard normal noise is multiplied by to begin with, on the path. */
  readonly initial: number
  /** The steps that are walked, and all that there would be at strength 1. */
  readonly transitions: readonly Transition[]
  /** Of a scheduler of diffusers. */
  readonly declared?: Declared & { readonly whole: SamplingPlan }
}

/** The path through given alpha-bars. */
const pathOfAlphas = (bars: readonly number[]): Path => {
  const between = discretePathOf(bars.map((bar) => Math.log((1 - bar) / bar) / 2))
  return {
    ...between,
    at: (t) => {
      const bar = Number.isInteger(t) ? bars[t] : undefined
      return bar === undefined ? between.at(t) : { alpha: Math.sqrt(bar), sigma: Math.sqrt(1 - bar) }
    },
  }
}

type Of<K extends PipelineSampling['by']> = Extract<PipelineSampling, { readonly by: K }>
type Row<K extends PipelineSampling['by']> = (s: Of<K>, document: PipelineDocument, asked: Steps) => Checked<Walk>

/** diffusers counts down from the end: so many of `steps` as the strength has whole ones (`get_timesteps`). */
const walked = ({ steps, strength }: Steps): number => Math.min(Math.floor(steps * strength), steps)

const strengthError = (strength: number, least: string) =>
  fail('usage', '--strength', `a number in ${least}, so that at least one step is left`, String(strength))

const rows: { readonly [K in PipelineSampling['by']]: Row<K> } = {
  diffusers: ({ scheduler, config }, _, asked) =>
    pipe(
      asked.steps <= config.num_train_timesteps
        ? E.right(asked)
        : fail('usage', '--steps', `at most ${config.num_train_timesteps}, as many as there are`, `${asked.steps}`),
      E.flatMap(() =>
        schedulerOf(scheduler, config, { steps: asked.steps, round: Math.fround, step: { eta: asked.eta }, set: {} }),
      ),
      E.bindTo('declared'),
      E.let('transitions', ({ declared }) => declared.transitions.slice(asked.steps - walked(asked))),
      E.tap(() => (walked(asked) > 0 ? E.right(asked) : strengthError(asked.strength, '(0, 1]'))),
      E.bind('whole', ({ declared: { sampler, path, transitions } }) => planSampling(sampler, path, transitions)),
      E.bind('plan', ({ declared: { sampler, path }, transitions, whole }) =>
        asked.strength === 1 ? E.right(whole) : planSampling(sampler, path, transitions),
      ),
      E.flatMap(({ declared, plan, whole, transitions }) => {
        const [first] = plan.steps
        const start = transitions[0]?.here
        return first === undefined || start === undefined
          ? strengthError(asked.strength, '(0, 1]')
          : E.right({
              plan,
              predicts: declared.predicts,
              ...(declared.keep === undefined ? {} : { keep: declared.keep }),
              start,
              initial: declared.initial * (declared.exploding ? first.level.alpha : 1),
              transitions,
              declared: { ...declared, whole },
            })
      }),
    ),
  compvis: ({ schedule: config, sampler, alphasCumprod }, { predicts }, { steps, eta, strength }) =>
    pipe(
      processOf(config),
      E.bindTo('process'),
      E.bind('rising', () => timesteps({ kind: 'uniform', steps }, config.timesteps)),
      E.flatMap(({ process, rising }) => {
        const path = alphasCumprod === null ? process.path : pathOfAlphas(alphasCumprod)
        const some = Math.trunc(strength * steps)
        const [reached, start] = strength === 1 ? [rising, rising.at(-1)] : [rising.slice(0, some), rising[some]]
        if (start === undefined || reached.length === 0) return strengthError(strength, '(0, 1)')
        const levels = reached.toReversed().map((t) => levelAt(path, t))
        const transitions = chain([...levels, levelAt(path, 0)])
        return pipe(
          planSampling(sampler === 'plms' ? plms() : ddim({ eta }), path, transitions),
          E.map((plan): Walk => ({ plan, predicts, start: levelAt(path, start), initial: 1, transitions })),
        )
      }),
    ),
}
const row = <K extends PipelineSampling['by']>(kind: K, s: Of<K>, ...more: [PipelineDocument, Steps]): Checked<Walk> =>
  rows[kind](s, ...more)

/** The steps that a request asks for. Errors: `config`, `usage`. */
export const walkOf = (document: PipelineDocument, asked: Steps): Checked<Walk> =>
  row(document.sampling.by, document.sampling, document, asked)
