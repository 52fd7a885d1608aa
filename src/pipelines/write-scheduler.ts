import { type Checked, fail } from '../error.ts'
import type { Schedule } from '../experiment/schedule.ts'
import { E, pipe } from '../prelude.ts'
import { schedulerConfig } from '../samplers/diffusers/config.ts'
import { betas } from '../schedulers/beta-schedules.ts'
import { decode } from '../schema.ts'
import type { PipelineDocument, PipelineSampling } from './document.ts'

/** How a model is sampled, as diffusers' `scheduler_config.json`. */

type Json = Readonly<Record<string, unknown>>
type Of<K extends PipelineSampling['by']> = Extract<PipelineSampling, { readonly by: K }>

/** What is written though it is the default: that of some classes is another. */
const always = ['num_train_timesteps', 'beta_start', 'beta_end', 'beta_schedule', 'prediction_type']

const ofScheduler = ({ scheduler, config }: Of<'diffusers'>): Checked<Json> =>
  pipe(
    {},
    decode(schedulerConfig),
    E.map((defaults) => {
      const usual = new Map(Object.entries(defaults).map(([name, value]) => [name, JSON.stringify(value)]))
      const said = Object.entries(config).filter(
        ([name, value]) => always.includes(name) || JSON.stringify(value) !== usual.get(name),
      )
      return { _class_name: scheduler, ...Object.fromEntries(said) }
    }),
  )

const common = { set_alpha_to_one: false, steps_offset: 1 }
/** The samplers of CompVis' scripts by their names there; noise levels and steps are the same. */
const samplers = {
  plms: { _class_name: 'PNDMScheduler', skip_prk_steps: true, ...common },
  ddim: { _class_name: 'DDIMScheduler', clip_sample: false, timestep_spacing: 'leading', ...common },
} as const

const betaNames = { 'scaled-linear': 'scaled_linear', linear: 'linear' } as const
const usualOffset = 0.008

/** Under a name of diffusers, or as they are. Errors (`config`): no betas. */
const betaFields = (s: Schedule): Checked<Json> => {
  if (s.kind === 'flow' || s.shift !== 1)
    return fail('config', '/sampling/schedule', 'betas that are not shifted', JSON.stringify(s))
  const zero = s.zeroTerminalSnr ? { rescale_betas_zero_snr: true } : {}
  if (s.kind === 'linear' || s.kind === 'scaled-linear')
    return E.right({ beta_schedule: betaNames[s.kind], beta_start: s.betaStart, beta_end: s.betaEnd, ...zero })
  return s.kind === 'cosine' && s.offset === usualOffset
    ? E.right({ beta_schedule: 'squaredcos_cap_v2', ...zero })
    : E.right({ trained_betas: betas({ ...s, zeroTerminalSnr: false }), ...zero })
}

const predictions = { eps: 'epsilon', x0: 'sample', v: 'v_prediction' } as const

const ofCompVis = ({ schedule, sampler }: Of<'compvis'>, { predicts }: PipelineDocument): Checked<Json> =>
  predicts === 'flow'
    ? fail('config', '/predicts', Object.keys(predictions).join(' | '), predicts)
    : pipe(
        betaFields(schedule),
        E.map((fields) => ({
          // PNDM has no zero terminal SNR.
          ...samplers['rescale_betas_zero_snr' in fields ? 'ddim' : sampler],
          num_train_timesteps: schedule.timesteps,
          ...fields,
          prediction_type: predictions[predicts],
        })),
      )

/** Errors (`config`): a schedule that no scheduler of diffusers has. */
export const schedulerDocument = (document: PipelineDocument): Checked<Json> => {
  const { sampling } = document
  return sampling.by === 'diffusers' ? ofScheduler(sampling) : ofCompVis(sampling, document)
}
