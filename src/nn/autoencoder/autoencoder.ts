import { at, type Scope, tanh } from '../../declare/index.ts'
import { flow, identity } from '../../prelude.ts'
import { chain, conv2d, type Layer, type Mode } from '../layers.ts'
import { down, end, middle, up } from './blocks.ts'
import type { AutoencoderConfig } from './config.ts'

const inMode = (c: AutoencoderConfig, { training = false }: Mode): AutoencoderConfig =>
  training ? c : { ...c, dropout: 0 }
const moments = (c: AutoencoderConfig, channels: number): number => (c.doubleZ ? 2 * channels : channels)

/** Pictures [N, inChannels, H, W] to [N, zChannels (or twice that), h, w]; h = H / 2^(levels - 1). */
export const encoder = (s: Scope, config: AutoencoderConfig, mode: Mode = {}): Layer => {
  const c = inMode(config, mode)
  return flow(chain(down(s, c)), middle(s, c), end(s, c, moments(c, c.zChannels)))
}

/** [N, zChannels, h, w] to pictures [N, outChannels, H, W]. */
export const decoder = (s: Scope, config: AutoencoderConfig, mode: Mode = {}): Layer => {
  const c = inMode(config, mode)
  const widest = c.channels * (c.channelMultipliers.at(-1) ?? 1)
  return flow(
    conv2d(at(s, 'conv_in'), { out: widest, kernel: 3, padding: 1 }),
    middle(s, c),
    chain(up(s, c)),
    c.givePreEnd ? identity : flow(end(s, c, c.outChannels), c.tanhOut ? tanh : identity),
  )
}

/**
 * Pictures to latents: the moments [N, 2 latentChannels, h, w] (mean, then log-variance) with `doubleZ`, else
 * [N, latentChannels, h, w] to be quantised. Source: `AutoencoderKL.encode`, `VQModel.encode` of
 * ldm/models/autoencoder.py.
 */
export const encode = (s: Scope, c: AutoencoderConfig, mode: Mode = {}): Layer =>
  flow(
    encoder(at(s, 'encoder'), c, mode),
    conv2d(at(s, 'quant_conv'), { out: moments(c, c.latentChannels), kernel: 1 }),
  )

/** Latents [N, latentChannels, h, w] to pictures. */
export const decode = (s: Scope, c: AutoencoderConfig, mode: Mode = {}): Layer =>
  flow(conv2d(at(s, 'post_quant_conv'), { out: c.zChannels, kernel: 1 }), decoder(at(s, 'decoder'), c, mode))
