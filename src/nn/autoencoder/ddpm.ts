import { at, concat, type Scope, shared, silu, type Tensor } from '../../declare/index.ts'
import { pipe } from '../../prelude.ts'
import { getTimestepEmbedding } from '../embedding.ts'
import { linear, type Mode } from '../layers.ts'
import { skipConnected } from '../skip-connected.ts'
import { down, end, middle, up } from './blocks.ts'
import type { DdpmUNetConfig } from './config.ts'

/** What the U-Net of DDPM is told beside x and t. */
export interface DdpmConditioning {
  /** Aligned with x; joined to its channels. */
  readonly context?: Tensor
}
/**
 * The U-Net of DDPM: x[N, C, H, W] and timesteps [N] -> [N, outChannels, H, W]. With `timestep: false` the timesteps
 * are not used. Source: `Model` of ldm/modules/diffusionmodules/model.py.
 */
export const ddpmUNet = (s: Scope, config: DdpmUNetConfig, { training = false }: Mode = {}) =>
  shared((x: Tensor, timesteps: Tensor, { context }: DdpmConditioning = {}): Tensor => {
    const c = training ? config : { ...config, dropout: 0 }
    const dense = (i: 0 | 1) => linear(at(s, `temb.dense.${i}`), { out: 4 * c.channels })
    const temb = c.timestep ? pipe(timesteps, getTimestepEmbedding(c.channels), dense(0), silu, dense(1)) : undefined
    return pipe(
      context === undefined ? x : concat(1, x, context),
      skipConnected({ down: down(s, c, temb), middle: middle(s, c, temb), up: up(s, c, temb) }),
      end(s, c, c.outChannels),
    )
  })
