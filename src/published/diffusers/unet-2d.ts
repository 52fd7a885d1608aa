import { type Checked, failure, type LatentError } from '../../error.ts'
import { depth, dropoutRate, mostLevels, side, width } from '../../nn/bounds.ts'
import type { UNetConfig } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { type Decoded, flag, list, literal, nullable, number, record, withDefault } from '../../schema.ts'
import { among, only, type Read, readConfig } from './fields.ts'
import type { DiffusersUNet } from './unet.ts'

/** A `UNet2DModel`: without conditions, its positions attend to each other. */

const levels = { min: 1, max: mostLevels }
const codec = record(
  {},
  {
    sample_size: withDefault(nullable(side), null),
    in_channels: withDefault(width, 3),
    out_channels: withDefault(width, 3),
    center_input_sample: only(false),
    time_embedding_type: only('positional'),
    freq_shift: among(0, 1),
    flip_sin_to_cos: withDefault(flag, true),
    down_block_types: withDefault(list(literal(['DownBlock2D', 'AttnDownBlock2D']), levels), [
      'DownBlock2D',
      'AttnDownBlock2D',
      'AttnDownBlock2D',
      'AttnDownBlock2D',
    ]),
    up_block_types: withDefault(list(literal(['UpBlock2D', 'AttnUpBlock2D']), levels), [
      'AttnUpBlock2D',
      'AttnUpBlock2D',
      'AttnUpBlock2D',
      'UpBlock2D',
    ]),
    mid_block_type: only('UNetMidBlock2D'),
    block_out_channels: withDefault(list(width, levels), [224, 448, 672, 896]),
    layers_per_block: withDefault(depth, 2),
    mid_block_scale_factor: only(1),
    downsample_padding: among(1, 0),
    downsample_type: only('conv'),
    upsample_type: only('conv'),
    dropout: withDefault(dropoutRate, 0),
    act_fn: among('silu', 'swish'),
    attention_legacy_order: only(false),
    /** The width of each head; null for one head. */
    attention_head_dim: withDefault(nullable(width), 8),
    norm_num_groups: withDefault(width, 32),
    attn_norm_num_groups: only(null),
    norm_eps: withDefault(number({ min: 1e-12, max: 1 }), 1e-5),
    resnet_time_scale_shift: only('default'),
    add_attention: only(true),
    class_embed_type: only(null),
    num_class_embeds: only(null),
    num_train_timesteps: only(null),
  },
)
type Fields = Decoded<typeof codec>

const problems = (p: Fields, base: string): readonly LatentError[] => {
  const { block_out_channels: widths, down_block_types: down } = p
  const mirrored = down.map((type) => type.replace('Down', 'Up')).toReversed()
  const refused = (fits: boolean, name: keyof Fields, expected: string): readonly LatentError[] =>
    fits ? [] : [failure('config', `${base}/${name}`, expected, JSON.stringify(p[name]))]
  return [
    ...refused(down.length === widths.length, 'down_block_types', `one for each of the ${widths.length} levels`),
    ...refused(mirrored.join() === p.up_block_types.join(), 'up_block_types', JSON.stringify(mirrored)),
    ...refused(
      widths.every((c) => c % (widths[0] ?? 1) === 0),
      'block_out_channels',
      'multiples of the first',
    ),
    ...refused(
      p.flip_sin_to_cos === (p.freq_shift === 0),
      'freq_shift',
      p.flip_sin_to_cos ? '0' : '1, as sines come first',
    ),
  ]
}

/** Of the original's networks. */
export const usualNorm = { groups: 32, eps: 1e-5 }

const networkOf = (p: Fields, base: string): Checked<UNetConfig> => {
  const [first, ...rest] = problems(p, base)
  if (first !== undefined) return E.left([first, ...rest])
  const [finest = 1] = p.block_out_channels
  const norm = { groups: p.norm_num_groups, eps: p.norm_eps }
  return E.right({
    inChannels: p.in_channels,
    outChannels: p.out_channels,
    modelChannels: finest,
    resBlocks: p.layers_per_block,
    attentionFactors: p.down_block_types.flatMap((type, level) => (type === 'DownBlock2D' ? [] : [2 ** level])),
    channelMultipliers: p.block_out_channels.map((c) => c / finest),
    heads:
      p.attention_head_dim === null ? { by: 'count', count: 1 } : { by: 'channels', channels: p.attention_head_dim },
    attention: { kind: 'self', order: 'new' },
    resample: 'conv',
    scaleShiftNorm: false,
    dropout: p.dropout,
    classes: null,
    codebook: null,
    ...(p.flip_sin_to_cos ? {} : { timesteps: 'sines-first' }),
    ...(p.downsample_padding === 1 ? {} : { downPadding: 'behind' }),
    ...(norm.groups === usualNorm.groups && norm.eps === usualNorm.eps ? {} : { norm }),
  })
}

/** Errors: `config`, each with its JSON pointer behind `base`. */
export const diffusersUNet2d = (document: unknown, base = ''): Checked<Read<DiffusersUNet>> =>
  pipe(
    readConfig('UNet2DModel', codec, [])(document, base),
    E.flatMap(({ config: p, ignored }) =>
      pipe(
        networkOf(p, base),
        E.map((unet) => ({ config: { unet, sampleSize: p.sample_size }, ignored })),
      ),
    ),
  )
