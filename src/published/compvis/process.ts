import { type Checked, fail } from '../../error.ts'
import { E, pipe } from '../../prelude.ts'
import {
  anything,
  type Decoded,
  flag,
  integer,
  nullable,
  number,
  record,
  text,
  withDefault,
  word,
} from '../../schema.ts'
import { positive } from './losses.ts'
import { byTarget, type Reader, reading } from './reader.ts'

/** What of a model concerns diffusion, under the names of CompVis' `DDPM`: `noiseScheduleFromCompVis` takes the first five. */
export interface OriginalProcess {
  readonly beta_schedule: string
  readonly timesteps: number
  readonly linear_start: number
  readonly linear_end: number
  readonly cosine_s: number
  readonly predicts: 'eps' | 'x0' | 'v'
  readonly scaleFactor: number
  /** The checkpoint holds the factor, which wins. */
  readonly scaleByStd: boolean
  /** Sampled from averages of the weights, where the checkpoint holds them. */
  readonly useEma: boolean
  /** Side of the latents, and their channels, where the configuration says them. */
  readonly imageSize: number | null
  readonly channels: number | null
}

const bounded = number({ min: 0, max: 1e6 })
const factor = number({ above: 0, max: 1e6 })
/** A side, or height and width. */
const imageSize = anything

export const processFields = {
  beta_schedule: withDefault(word(['linear', 'cosine', 'sqrt_linear', 'sqrt']), 'linear'),
  timesteps: withDefault(integer({ min: 2, max: 1e6 }), 1000),
  linear_start: withDefault(bounded, 1e-4),
  linear_end: withDefault(bounded, 2e-2),
  cosine_s: withDefault(bounded, 8e-3),
  parameterization: withDefault(word(['eps', 'x0', 'v']), 'eps'),
  scale_factor: withDefault(factor, 1),
  scale_by_std: withDefault(flag, false),
  use_ema: withDefault(flag, true),
  image_size: withDefault(nullable(imageSize), null),
  channels: withDefault(nullable(positive), null),
}
type ProcessParams = { readonly [K in keyof typeof processFields]: Decoded<(typeof processFields)[K]['of']> }

/** Of the `params` of a `LatentDiffusion`. */
export const ldmProcess = (p: ProcessParams): OriginalProcess => ({
  beta_schedule: p.beta_schedule,
  timesteps: p.timesteps,
  linear_start: p.linear_start,
  linear_end: p.linear_end,
  cosine_s: p.cosine_s,
  predicts: p.parameterization,
  scaleFactor: p.scale_factor,
  scaleByStd: p.scale_by_std,
  useEma: p.use_ema,
  imageSize: typeof p.image_size === 'number' ? p.image_size : null,
  channels: p.channels,
})

const scalings: Readonly<Record<string, Reader<OriginalProcess['predicts']>>> = {
  'sgm.modules.diffusionmodules.denoiser_scaling.EpsScaling': () => E.right('eps'),
  'sgm.modules.diffusionmodules.denoiser_scaling.VScaling': () => E.right('v'),
}
const discretization = record(
  {},
  {
    linear_start: withDefault(bounded, 0.00085),
    linear_end: withDefault(bounded, 0.012),
    num_timesteps: withDefault(integer({ min: 2, max: 1e6 }), 1000),
  },
)
const discretizations = {
  'sgm.modules.diffusionmodules.discretizer.LegacyDDPMDiscretization': reading(discretization),
}
const denoiser = record(
  { scaling_config: anything, discretization_config: anything },
  { num_idx: withDefault(integer({ min: 2, max: 1e6 }), 1000) },
  { weighting_config: anything, do_append_zero: flag, quantize_c_noise: flag, flip: flag },
)
export type Denoiser = Pick<OriginalProcess, 'predicts' | 'timesteps' | 'linear_start' | 'linear_end'>

/** Of the `denoiser_config` of a `DiffusionEngine`. */
const discreteDenoiser: Reader<Denoiser> = (params, base) =>
  pipe(
    reading(denoiser)(params, base),
    E.flatMap((p) =>
      pipe(
        E.Do,
        E.bind('predicts', () => byTarget(scalings)(p.scaling_config, `${base}/scaling_config`)),
        E.bind('levels', () => byTarget(discretizations)(p.discretization_config, `${base}/discretization_config`)),
        E.flatMap(
          ({ predicts, levels: { num_timesteps, ...ends } }): Checked<Denoiser> =>
            num_timesteps === p.num_idx
              ? E.right({ predicts, timesteps: num_timesteps, ...ends })
              : fail('config', `${base}/num_idx`, `${num_timesteps}, as its discretization has`, `${p.num_idx}`),
        ),
      ),
    ),
  )
export const sgmDenoiser = byTarget<Denoiser>({
  'sgm.modules.diffusionmodules.denoiser.DiscreteDenoiser': discreteDenoiser,
})

export const engineFields = record(
  {
    network_config: anything,
    denoiser_config: anything,
    conditioner_config: anything,
    first_stage_config: anything,
  },
  { scale_factor: withDefault(factor, 1), use_ema: withDefault(flag, false), input_key: withDefault(text, 'jpg') },
  Object.fromEntries(
    [
      ...['sampler_config', 'optimizer_config', 'scheduler_config', 'loss_fn_config', 'network_wrapper', 'ckpt_path'],
      ...['ema_decay_rate', 'disable_first_stage_autocast', 'log_keys', 'no_cond_log', 'compile_model'],
      ...['en_and_decode_n_samples_a_time'],
    ].map((name) => [name, anything]),
  ),
)
