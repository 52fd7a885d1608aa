import { type Checked, fail } from '../../error.ts'
import { E } from '../../prelude.ts'
import type { Layout } from '../layout.ts'
import type { TinyAutoencoderConfig } from './tiny.ts'

/**
 * The names of a small autoencoder's arrays in TAESD's own files, of which one has the decoder and another the encoder: both are one
 * `nn.Sequential`, and the decoder's begins with a layer that has no weights. Source: madebyollin/taesd, taesd.py.
 */

const sides = { 'encoder.layers.': 0, 'decoder.layers.': 1 } as const
type Side = keyof typeof sides

const layout =
  (side: Side): Layout =>
  (name) => {
    const [, index, rest] = /^(\d+)\.(.+)$/.exec(name.startsWith(side) ? name.slice(side.length) : '') ?? []
    return index === undefined ? undefined : { key: `${Number(index) + sides[side]}.${rest}` }
  }
export const taesdEncoderNames: Layout = layout('encoder.layers.')
export const taesdDecoderNames: Layout = layout('decoder.layers.')

type Shapes = Readonly<Record<string, readonly number[]>>

/** Blocks between the convolutions of a sequence, behind its first: `3.conv.0.weight` is of a block, `7.weight` a convolution. */
const blocksOf = (shapes: Shapes): readonly number[] => {
  const layers = new Map<number, 'block' | 'convolution'>()
  for (const key of Object.keys(shapes)) {
    const [, index, block] = /^(\d+)\.(conv\.0\.)?weight$/.exec(key) ?? []
    if (index !== undefined) layers.set(Number(index), block === undefined ? 'convolution' : 'block')
  }
  const [, ...rest] = [...layers].toSorted(([a], [b]) => a - b)
  return rest
    .reduce<readonly number[]>(
      (counts, [, kind]) => (kind === 'block' ? [...counts.slice(0, -1), (counts.at(-1) ?? 0) + 1] : [...counts, 0]),
      [0],
    )
    .slice(0, -1)
}

/**
 * What decoder a file of TAESD holds, by its arrays; an encoder is declared beside it. Errors (`file`): keys of something else.
 *
 * @example
 * const config = taesdDecoderOf({ '1.weight': [64, 4, 3, 3], '1.bias': [64], '3.conv.0.weight': [64, 64, 3, 3] })
 */
export const taesdDecoderOf = (shapes: Shapes, at = ''): Checked<TinyAutoencoderConfig> => {
  const [channels, latentChannels] = shapes['1.weight'] ?? []
  const last = Object.keys(shapes)
    .flatMap((key) => Number(/^(\d+)\.weight$/.exec(key)?.[1] ?? Number.NaN))
    .filter(Number.isFinite)
    .reduce((a, b) => Math.max(a, b), 0)
  const [outChannels] = shapes[`${last}.weight`] ?? []
  const decoderBlocks = blocksOf(shapes)
  return channels === undefined ||
    latentChannels === undefined ||
    outChannels === undefined ||
    decoderBlocks.length === 0
    ? fail(
        'file',
        at,
        'the decoder of TAESD: 1.weight, 3.conv.0.weight and so on, or a folder of diffusers with AutoencoderTiny',
        Object.keys(shapes).slice(0, 4).join(', ') || 'no arrays',
        shapes['0.weight'] === undefined ? undefined : 'that is its encoder',
      )
    : E.right({
        ...{ inChannels: outChannels, outChannels, latentChannels, channels, decoderBlocks },
        encoderBlocks: decoderBlocks.toReversed(),
        magnitude: 3,
        shift: 0.5,
      })
}
