import {
  buffer,
  claims,
  div,
  expects,
  mean,
  mul,
  type Operand,
  reciprocal,
  type Scope,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
} from '../declare/index.ts'
import { size } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

/**
 * Latents of unit variance (Rombach et al. 2022, section D.1): the denoiser sees `scale * z`.
 * `get_first_stage_encoding` and `decode_first_stage` of `LatentDiffusion` in CompVis latent-diffusion.
 */

/** The reference's `scale_factor` as a buffer of the model. */
export const scaleFactor = (s: Scope): Tensor => buffer(s, 'scale_factor', [], { kind: 'ones' })

/** What the scale is set to from a first batch of raw latents: 1 / std(z), unbiased, over everything. */
export const measuredScale = (z: Tensor): Tensor =>
  pipe(z, sub(mean()(z)), square, sum(), mul(1 / (size(z.shape) - 1)), sqrt, reciprocal)

/** Latents as the denoiser sees them. */
export const scaleLatents =
  (scale: Operand) =>
  (z: Tensor): Tensor =>
    pipe(z, expects('raw latents'), mul(scale), claims('scaled latents'))

/** Latents as the first stage's decoder sees them. */
export const unscaleLatents =
  (scale: Operand) =>
  (z: Tensor): Tensor =>
    pipe(z, expects('scaled latents'), div(scale), claims('raw latents'))
