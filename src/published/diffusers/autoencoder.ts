import { type Checked, failure, type LatentError } from '../../error.ts'
import { depth, entries, mostLevels, side, width } from '../../nn/bounds.ts'
import type { AutoencoderConfig } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { type Decoded, list, literal, nullable, number, record, withDefault } from '../../schema.ts'
import { among, only, type Read, readConfig, unheeded } from './fields.ts'

/** A first stage, and how its latents are scaled: (z - shiftFactor) scalingFactor is what a U-Net sees. */
export interface DiffusersAutoencoder {
  readonly autoencoder: AutoencoderConfig
  readonly scalingFactor: number
  readonly shiftFactor: number
  /** Entries of the codebook of a `VQModel`. */
  readonly codebook?: number
}

const levels = { min: 1, max: mostLevels }
const harmless = ['force_upcast'] as const
const factor = number({ above: 0, max: 1e6 })

const common = {
  required: {
    block_out_channels: list(width, levels),
    down_block_types: list(literal(['DownEncoderBlock2D', 'AttnDownEncoderBlock2D']), levels),
    up_block_types: list(literal(['UpDecoderBlock2D', 'AttnUpDecoderBlock2D']), levels),
  },
  defaulted: {
    in_channels: withDefault(width, 3),
    out_channels: withDefault(width, 3),
    layers_per_block: withDefault(depth, 1),
    norm_num_groups: withDefault(width, 32),
    sample_size: withDefault(side, 32),
    scaling_factor: withDefault(factor, 0.18215),
    act_fn: among('silu', 'swish'),
    mid_block_add_attention: only(true),
  },
}
const autoencoderKl = record(
  common.required,
  {
    ...common.defaulted,
    latent_channels: withDefault(width, 4),
    shift_factor: withDefault(nullable(number({ min: -1e6, max: 1e6 })), null),
    latents_mean: only(null),
    latents_std: only(null),
    use_quant_conv: only(true),
    use_post_quant_conv: only(true),
  },
  unheeded(harmless),
)
const vqModel = record(
  common.required,
  {
    ...common.defaulted,
    latent_channels: withDefault(width, 3),
    num_vq_embeddings: withDefault(entries, 256),
    vq_embed_dim: withDefault(nullable(width), null),
    norm_type: only('group'),
    lookup_from_codebook: only(false),
  },
  unheeded(harmless),
)
type Common = Pick<Decoded<typeof vqModel>, keyof typeof common.required | keyof typeof common.defaulted>

const problems = (p: Common, base: string): readonly LatentError[] => {
  const { block_out_channels: widths, down_block_types: down, up_block_types: up } = p
  const [finest = 1] = widths
  const mirrored = down.map((type) => type.replace('DownEncoder', 'UpDecoder')).toReversed()
  const refused = (fits: boolean, name: keyof Common, expected: string): readonly LatentError[] =>
    fits ? [] : [failure('config', `${base}/${name}`, expected, JSON.stringify(p[name]))]
  return [
    ...refused(down.length === widths.length, 'down_block_types', `one for each of the ${widths.length} levels`),
    ...refused(mirrored.join() === up.join(), 'up_block_types', JSON.stringify(mirrored)),
    ...refused(
      widths.every((c) => c % finest === 0),
      'block_out_channels',
      'multiples of the first',
    ),
    ...refused(
      down.every((type) => type === 'DownEncoderBlock2D') || p.sample_size % 2 ** (down.length - 1) === 0,
      'sample_size',
      `a multiple of ${2 ** (down.length - 1)}, by which attention finds its levels`,
    ),
  ]
}

const pyramid = (
  p: Common,
  base: string,
): Checked<Omit<AutoencoderConfig, 'latentChannels' | 'zChannels' | 'doubleZ'>> => {
  const [first, ...rest] = problems(p, base)
  if (first !== undefined) return E.left([first, ...rest])
  const [finest = 1] = p.block_out_channels
  return E.right({
    inChannels: p.in_channels,
    outChannels: p.out_channels,
    resolution: p.sample_size,
    channels: finest,
    resBlocks: p.layers_per_block,
    channelMultipliers: p.block_out_channels.map((c) => c / finest),
    attentionResolutions: p.down_block_types.flatMap((type, level) =>
      type === 'AttnDownEncoderBlock2D' ? [p.sample_size / 2 ** level] : [],
    ),
    attention: 'vanilla',
    convResample: true,
    normGroups: p.norm_num_groups,
    dropout: 0,
    tanhOut: false,
    givePreEnd: false,
  })
}

/** An `AutoencoderKL`. Errors: `config`, each with its JSON pointer behind `base`. */
export const diffusersAutoencoderKl = (document: unknown, base = ''): Checked<Read<DiffusersAutoencoder>> =>
  pipe(
    readConfig('AutoencoderKL', autoencoderKl, harmless)(document, base),
    E.flatMap(({ config: p, ignored }) =>
      pipe(
        pyramid(p, base),
        E.map((c) => ({
          config: {
            autoencoder: { ...c, latentChannels: p.latent_channels, zChannels: p.latent_channels, doubleZ: true },
            scalingFactor: p.scaling_factor,
            shiftFactor: p.shift_factor ?? 0,
          },
          ignored,
        })),
      ),
    ),
  )

/** A `VQModel`, which quantises when it decodes. Errors: `config`, each with its JSON pointer behind `base`. */
export const diffusersVqModel = (document: unknown, base = ''): Checked<Read<DiffusersAutoencoder>> =>
  pipe(
    readConfig('VQModel', vqModel, harmless)(document, base),
    E.flatMap(({ config: p, ignored }) =>
      pipe(
        pyramid(p, base),
        E.map((c) => ({
          config: {
            autoencoder: {
              ...c,
              latentChannels: p.vq_embed_dim ?? p.latent_channels,
              zChannels: p.latent_channels,
              doubleZ: false,
            },
            scalingFactor: p.scaling_factor,
            shiftFactor: 0,
            codebook: p.num_vq_embeddings,
          },
          ignored,
        })),
      ),
    ),
  )
