import type { AutoencoderConfig, TinyAutoencoderConfig } from '../../nn/index.ts'
import { inside, type Named, type Names } from './names.ts'

/** The modules of first stages, ours being those of ldm/modules/diffusionmodules/model.py. */

const resnet = (ours: string, theirs: string): Names =>
  inside(ours, theirs, {
    norm1: 'norm1',
    conv1: 'conv1',
    norm2: 'norm2',
    conv2: 'conv2',
    nin_shortcut: 'conv_shortcut',
  })

/** How files name an attention's projections: before diffusers 0.17 (`older`), and since. */
export type AttentionNames = 'older' | 'newer'
/** What the projections of an attention are called in newer and in older files. */
export const attentionProjections = {
  newer: { q: 'to_q', k: 'to_k', v: 'to_v', proj_out: 'to_out.0' },
  older: { q: 'query', k: 'key', v: 'value', proj_out: 'proj_attn' },
} as const

const attention = (ours: string, theirs: string, names: AttentionNames): Names => [
  ...inside(ours, theirs, { norm: 'group_norm' }),
  ...inside(ours, theirs, attentionProjections[names]).map((named): Named => ({ ...named, trailing: 2 })),
]

const both = (ours: string, theirs = ours): Named => ({ ours, theirs })

/** Of an `AutoencoderKL` or `VQModel`. */
export const autoencoderNames = (c: AutoencoderConfig, names: AttentionNames = 'newer'): Names => {
  const levels = c.channelMultipliers.length
  const stage = (count: number, ours: string, theirs: string): Names =>
    Array.from({ length: count }, (_, i) => [
      ...resnet(`${ours}.block.${i}`, `${theirs}.resnets.${i}`),
      ...attention(`${ours}.attn.${i}`, `${theirs}.attentions.${i}`, names),
    ]).flat()
  const ends = (side: string): Names => [
    both(`${side}.conv_in`),
    ...resnet(`${side}.mid.block_1`, `${side}.mid_block.resnets.0`),
    ...attention(`${side}.mid.attn_1`, `${side}.mid_block.attentions.0`, names),
    ...resnet(`${side}.mid.block_2`, `${side}.mid_block.resnets.1`),
    both(`${side}.norm_out`, `${side}.conv_norm_out`),
    both(`${side}.conv_out`),
  ]
  return [
    ...ends('encoder'),
    ...ends('decoder'),
    ...c.channelMultipliers.flatMap((_, level) => {
      const [down, theirDown] = [`encoder.down.${level}`, `encoder.down_blocks.${level}`]
      const [up, theirUp] = [`decoder.up.${level}`, `decoder.up_blocks.${levels - 1 - level}`]
      return [
        ...stage(c.resBlocks, down, theirDown),
        both(`${down}.downsample.conv`, `${theirDown}.downsamplers.0.conv`),
        ...stage(c.resBlocks + 1, up, theirUp),
        both(`${up}.upsample.conv`, `${theirUp}.upsamplers.0.conv`),
      ]
    }),
    both('quant_conv'),
    both('post_quant_conv'),
    both('quantize.embedding'),
  ]
}

/** Which names a file has. */
export const attentionNamesIn = (keys: Iterable<string>): AttentionNames =>
  Array.from(keys).some((key) => /\.attentions\.\d+\.(query|key|value|proj_attn)\./.test(key)) ? 'older' : 'newer'

/**
 * Of an `AutoencoderTiny`, whose names are ours, to those of the files it comes from (madebyollin/taesd: `taesd_encoder`,
 * `taesd_decoder`), where a clamp without parameters stands before the decoder's first layer.
 */
export const taesdNames = (side: 'encoder' | 'decoder', c: TinyAutoencoderConfig): Names => {
  const layers = side === 'encoder' ? encoderLayers(c) : decoderLayers(c)
  return Array.from({ length: layers }, (_, i) => both(`${side}.layers.${i}`, `${side === 'encoder' ? i : i + 1}`))
}
const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0)
const encoderLayers = ({ encoderBlocks: counts }: TinyAutoencoderConfig): number => sum(counts) + counts.length + 1
const decoderLayers = ({ decoderBlocks: counts }: TinyAutoencoderConfig): number =>
  2 + sum(counts) + 2 * (counts.length - 1) + 1
