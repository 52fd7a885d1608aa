import { type Checked, fail } from '../error.ts'
import type { Value } from '../execute/executor.ts'
import { E, pipe } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { PipelineDocument } from './document.ts'
import { readScheduler } from './read-diffusers.ts'
import { stacked } from './request.ts'

/** Another scheduler than a model's own, with what the model's configuration says of all (`from_config`). */

export interface SchedulerOverride {
  readonly name: string
  readonly options: Readonly<Record<string, unknown>>
}

/** A CompVis model's schedule as schedulers of diffusers have it. Errors (`usage`): one that they have not. */
const asConfig = ({ sampling, predicts }: PipelineDocument): Checked<Readonly<Record<string, unknown>>> => {
  if (sampling.by === 'diffusers') return E.right(sampling.config)
  const { schedule } = sampling
  const kind = schedule.kind === 'scaled-linear' ? 'scaled_linear' : schedule.kind === 'linear' ? 'linear' : undefined
  const prediction = predicted[predicts]
  return kind === undefined || !('betaStart' in schedule)
    ? fail('usage', '--sampler', `ddim | plms, as the schedule is "${schedule.kind}"`, 'another')
    : E.right({
        beta_schedule: kind,
        beta_start: schedule.betaStart,
        beta_end: schedule.betaEnd,
        num_train_timesteps: schedule.timesteps,
        prediction_type: prediction,
        steps_offset: 1,
        clip_sample: false,
        set_alpha_to_one: false,
        skip_prk_steps: true,
      })
}
const predicted = { eps: 'epsilon', x0: 'sample', v: 'v_prediction', flow: 'flow_prediction' } as const

/** A model under another scheduler. Errors: `config`, `usage`. */
export const withScheduler = (
  document: PipelineDocument,
  { name, options }: SchedulerOverride,
): Checked<PipelineDocument> =>
  pipe(
    asConfig(document),
    E.flatMap((config) => readScheduler({ ...config, ...options, _class_name: name }, 'scheduler')),
    E.map((own) => ({ ...document, sampling: own })),
  )

/** Samplers by the names that this project has for them. */
const named: Readonly<Record<string, SchedulerOverride>> = {
  ddim: { name: 'DDIMScheduler', options: {} },
  ddpm: { name: 'DDPMScheduler', options: {} },
  plms: { name: 'PNDMScheduler', options: { skip_prk_steps: true } },
  euler: { name: 'EulerDiscreteScheduler', options: {} },
  'euler-ancestral': { name: 'EulerAncestralDiscreteScheduler', options: {} },
  heun: { name: 'HeunDiscreteScheduler', options: {} },
  'dpm-2': { name: 'KDPM2DiscreteScheduler', options: {} },
  'dpm-2-ancestral': { name: 'KDPM2AncestralDiscreteScheduler', options: {} },
  lms: { name: 'LMSDiscreteScheduler', options: {} },
  'dpm++-2m': { name: 'DPMSolverMultistepScheduler', options: { algorithm_type: 'dpmsolver++', solver_order: 2 } },
  'dpm++-2m-sde': {
    name: 'DPMSolverMultistepScheduler',
    options: { algorithm_type: 'sde-dpmsolver++', solver_order: 2 },
  },
  'dpm-singlestep': { name: 'DPMSolverSinglestepScheduler', options: {} },
  unipc: { name: 'UniPCMultistepScheduler', options: {} },
  deis: { name: 'DEISMultistepScheduler', options: {} },
  lcm: { name: 'LCMScheduler', options: {} },
}

/** A model drawn from by a sampler of that name. Errors (`usage`): one that is not taken for published models. */
export const withSampler = (document: PipelineDocument, name: string): Checked<PipelineDocument> => {
  const { sampling } = document
  const own = Object.hasOwn(named, name) ? named[name] : undefined
  if (own === undefined)
    return fail('usage', '--sampler', Object.keys(named).join(' | '), name, didYouMean(name, Object.keys(named)))
  return sampling.by === 'compvis' && (name === 'ddim' || name === 'plms')
    ? E.right({ ...document, sampling: { ...sampling, sampler: name } })
    : sampling.by === 'diffusers' && sampling.scheduler === own.name && Object.keys(own.options).length === 0
      ? E.right(document)
      : withScheduler(document, own)
}

/** The names of samplers that a model can be drawn by. */
export const samplersOf = (document: PipelineDocument): readonly string[] =>
  Object.keys(named).filter((name) => E.isRight(withSampler(document, name)))

/** Its own, by that name where it has one, else by the name of its scheduler. */
export const samplerOf = ({ sampling }: PipelineDocument): string => {
  if (sampling.by === 'compvis') return sampling.sampler
  const said = new Map<string, unknown>(Object.entries(sampling.config))
  const found = Object.entries(named).find(
    ([, { name, options }]) =>
      name === sampling.scheduler && Object.entries(options).every(([option, value]) => said.get(option) === value),
  )
  return found?.[0] ?? sampling.scheduler
}

/** Whether a model's sampler draws as much noise as eta says. */
export const takesEta = ({ sampling }: PipelineDocument): boolean =>
  sampling.by === 'compvis' ? sampling.sampler === 'ddim' : sampling.scheduler === 'DDIMScheduler'

/** What was seen of each branch, under each other. */
export const joinedOf = (parts: readonly Value[]): Value | undefined =>
  parts.length === 0 ? undefined : stacked(parts)
