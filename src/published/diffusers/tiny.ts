import { type Checked, failure, type LatentError } from '../../error.ts'
import { mostLevels, width } from '../../nn/bounds.ts'
import type { TinyAutoencoderConfig } from '../../nn/index.ts'
import { E, pipe } from '../../prelude.ts'
import { type Decoded, integer, list, number, record, withDefault } from '../../schema.ts'
import { only, type Read, readConfig, unheeded } from './fields.ts'

/** An `AutoencoderTiny`, and how its latents are scaled. */
export interface DiffusersTinyAutoencoder {
  readonly tiny: TinyAutoencoderConfig
  readonly scalingFactor: number
  readonly shiftFactor: number
}

const levels = { min: 1, max: mostLevels }
const widths = list(width, levels)
const blocks = list(integer({ min: 0, max: 32 }), levels)
const harmless = ['force_upcast', 'block_out_channels'] as const

const codec = record(
  {},
  {
    in_channels: withDefault(width, 3),
    out_channels: withDefault(width, 3),
    encoder_block_out_channels: withDefault(widths, [64, 64, 64, 64]),
    decoder_block_out_channels: withDefault(widths, [64, 64, 64, 64]),
    num_encoder_blocks: withDefault(blocks, [1, 3, 3, 3]),
    num_decoder_blocks: withDefault(blocks, [3, 3, 3, 1]),
    latent_channels: withDefault(width, 4),
    latent_magnitude: withDefault(number({ above: 0, max: 1e6 }), 3),
    latent_shift: withDefault(number({ min: -1e6, max: 1e6 }), 0.5),
    scaling_factor: withDefault(number({ above: 0, max: 1e6 }), 1),
    shift_factor: withDefault(number({ min: -1e6, max: 1e6 }), 0),
    act_fn: only('relu'),
    upsample_fn: only('nearest'),
    upsampling_scaling_factor: only(2),
  },
  unheeded(harmless),
)

const tinyOf = (p: Decoded<typeof codec>, base: string): Checked<DiffusersTinyAutoencoder> => {
  const [channels = 64] = p.encoder_block_out_channels
  const refused = (fits: boolean, name: keyof typeof p, expected: string): readonly LatentError[] =>
    fits ? [] : [failure('config', `${base}/${name}`, expected, JSON.stringify(p[name]))]
  const sides = [
    ['encoder_block_out_channels', 'num_encoder_blocks'],
    ['decoder_block_out_channels', 'num_decoder_blocks'],
  ] as const
  const [first, ...rest] = sides.flatMap(([given, counts]) => [
    ...refused(
      p[given].every((c) => c === channels),
      given,
      `${channels} everywhere`,
    ),
    ...refused(p[counts].length === p[given].length, counts, `one for each of ${given}`),
  ])
  if (first !== undefined) return E.left([first, ...rest])
  return E.right({
    tiny: {
      inChannels: p.in_channels,
      outChannels: p.out_channels,
      latentChannels: p.latent_channels,
      channels,
      encoderBlocks: p.num_encoder_blocks,
      decoderBlocks: p.num_decoder_blocks,
      magnitude: p.latent_magnitude,
      shift: p.latent_shift,
    },
    scalingFactor: p.scaling_factor,
    shiftFactor: p.shift_factor,
  })
}

/** Errors: `config`, each with its JSON pointer behind `base`. */
export const diffusersTinyAutoencoder = (document: unknown, base = ''): Checked<Read<DiffusersTinyAutoencoder>> =>
  pipe(
    readConfig('AutoencoderTiny', codec, harmless)(document, base),
    E.flatMap(({ config: p, ignored }) =>
      pipe(
        tinyOf(p, base),
        E.map((config) => ({ config, ignored })),
      ),
    ),
  )
