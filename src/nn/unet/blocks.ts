import { add, at, channels, mul, part, type Scope, shared, silu, type Tensor, unsqueeze } from '../../declare/index.ts'
import { flow, identity, pipe } from '../../prelude.ts'
import { attentionBlock, spatialTransformer } from '../attention.ts'
import {
  averagePool2,
  conv2d,
  dropout,
  type GroupNorm,
  groupNorm,
  type Layer,
  linear,
  type Module,
  sequential,
  upsample2,
  zeros,
} from '../layers.ts'
import type { AttentionConfig, HeadsConfig, TrunkConfig } from './config.ts'

/** The parts of ldm/modules/diffusionmodules/openaimodel.py, named as there. */

export interface Resample {
  readonly conv?: boolean
  /** Channels of the convolution's result; x's where left out. */
  readonly out?: number
  /** Whether the convolution's zeros stand at the right and bottom alone, as in the autoencoder. */
  readonly behind?: boolean
}
/** Halves height and width; the convolution's zeros stand on all sides, unlike in the autoencoder. */
export const downsample = (s: Scope, { conv = true, out, behind = false }: Resample = {}): Layer =>
  conv
    ? shared((x) => {
        const padding = behind ? ([0, 0, 1, 1] as const) : 1
        return pipe(x, conv2d(at(s, 'op'), { out: out ?? channels(x), kernel: 3, stride: 2, padding }))
      })
    : averagePool2
/** Doubles height and width. */
export const upsample = (s: Scope, { conv = true, out }: Resample = {}): Layer =>
  conv
    ? shared(flow(upsample2, (x) => pipe(x, conv2d(at(s, 'conv'), { out: out ?? channels(x), kernel: 3, padding: 1 }))))
    : upsample2

/** Options of `resBlock`. */
export interface ResBlock {
  /** Timestep embedding [N, E]. */
  readonly embedding: Tensor
  /** Channels of the result; x's where left out. */
  readonly out?: number
  readonly resample?: 'none' | 'down' | 'up'
  readonly scaleShiftNorm?: boolean
  readonly dropout?: number
  /** Kernel of the convolution that carries x over where its channels change. */
  readonly skipKernel?: 1 | 3
  readonly norm?: GroupNorm | undefined
}
const resampling = { none: identity<Tensor>, down: averagePool2, up: upsample2 }

/** norm(h) (1 + scale) + shift, the halves of an embedding [N, 2 C, 1, 1] */
const modulate =
  (embedding: Tensor): Layer =>
  (h) => {
    const [scale, shift] = [part(embedding, 1, 0, channels(h)), part(embedding, 1, channels(h), channels(h))]
    return pipe(h, mul(pipe(scale, add(1))), add(shift))
  }

/**
 * x[N, C, H, W] and what two convolutions behind norms make of it, told the time between them. Source: `ResBlock` of
 * ldm/modules/diffusionmodules/openaimodel.py.
 */
export const resBlock = (
  s: Scope,
  { embedding, resample = 'none', scaleShiftNorm = false, ...options }: ResBlock,
): Layer =>
  shared((x) => {
    const { out = channels(x), skipKernel = 1, dropout: rate = 0, norm: by = {} } = options
    const resized = resampling[resample]
    const skip = conv2d(at(s, 'skip_connection'), { out, kernel: skipKernel, padding: (skipKernel - 1) / 2 })
    const told = pipe(
      embedding,
      silu,
      linear(at(s, 'emb_layers.1'), { out: scaleShiftNorm ? 2 * out : out }),
      unsqueeze(2, 3),
    )
    const norm = groupNorm(at(s, 'out_layers.0'), by)
    return pipe(
      x,
      groupNorm(at(s, 'in_layers.0'), by),
      silu,
      resized,
      conv2d(at(s, 'in_layers.2'), { out, kernel: 3, padding: 1 }),
      scaleShiftNorm ? flow(norm, modulate(told)) : flow(add(told), norm),
      silu,
      dropout(at(s, 'out_layers.2'), rate),
      conv2d(at(s, 'out_layers.3'), { out, kernel: 3, padding: 1, init: zeros }),
      add(pipe(x, resized, channels(x) === out ? identity : skip)),
    )
  })

/** What every block of one network is told. */
export interface Told {
  readonly embedding: Tensor
  readonly context: Tensor | undefined
}
type Way = 'down' | 'up'

/** Where an attention stands: on a level, 0 at full resolution, or in the middle. */
interface Stand {
  readonly level: number | 'middle'
  readonly way: Way
}
const ofLevel = <A>(each: readonly A[], level: Stand['level']): A | undefined =>
  level === 'middle' ? each.at(-1) : each[level]

/** How many heads an attention of this width has at a place of the network. */
export const headCount = (heads: HeadsConfig, width: number, { level, way }: Stand): number =>
  heads.by === 'channels'
    ? Math.floor(width / heads.channels)
    : heads.by === 'levels'
      ? (ofLevel(heads.counts, level) ?? 0)
      : way === 'up'
        ? (heads.upsample ?? heads.count)
        : heads.count

type TransformerConfig = Extract<AttentionConfig, { readonly kind: 'transformer' }>
const transformerDepth = ({ depth, middleDepth }: TransformerConfig, level: Stand['level']): number =>
  level === 'middle' && middleDepth !== undefined
    ? middleDepth
    : typeof depth === 'number'
      ? depth
      : (ofLevel(depth, level) ?? 0)

const attend =
  ({ attention, heads, norm }: TrunkConfig, { context }: Told, stand: Stand): Module =>
  (s) =>
  (x) => {
    const width = channels(x)
    if (attention.kind === 'self')
      return pipe(x, attentionBlock(s, { heads: headCount(heads, width, stand), order: attention.order, norm }))
    const count = headCount(heads, width, { ...stand, way: 'down' })
    return pipe(
      x,
      spatialTransformer(s, {
        heads: count,
        headChannels: heads.by === 'channels' && !attention.widenHeads ? heads.channels : Math.floor(width / count),
        depth: transformerDepth(attention, stand.level),
        contextOnly: stand.level !== 'middle' && (attention.contextOnlyFactors ?? []).includes(2 ** stand.level),
        ...(attention.projection === undefined ? {} : { projection: attention.projection }),
        context,
      }),
    )
  }

const residual =
  (
    { scaleShiftNorm, dropout, norm }: TrunkConfig,
    { embedding }: Told,
    options: Pick<ResBlock, 'out' | 'resample'>,
  ): Module =>
  (s) =>
    resBlock(s, { embedding, scaleShiftNorm, dropout, norm, ...options })

const enlarged = { down: downsample, up: upsample }
const resized = (c: TrunkConfig, told: Told, way: Way): Module =>
  c.resample === 'residual'
    ? residual(c, told, { resample: way })
    : (s) => enlarged[way](s, { conv: c.resample === 'conv', behind: c.downPadding === 'behind' })

const blocks = (s: Scope, modules: readonly (readonly Module[])[]): readonly Layer[] =>
  modules.map((parts, i) => sequential(...parts)(at(s, i)))

/** `input_blocks`: the first convolution, then each level's residual blocks and its downsampling. */
export const inputBlocks = (s: Scope, c: TrunkConfig, told: Told): readonly Layer[] =>
  blocks(s, [
    [(first) => conv2d(first, { out: c.modelChannels, kernel: 3, padding: 1 })],
    ...c.channelMultipliers.flatMap((multiplier, level, { length }) => [
      ...Array.from({ length: c.resBlocks }, () => [
        residual(c, told, { out: c.modelChannels * multiplier }),
        ...(c.attentionFactors.includes(2 ** level) ? [attend(c, told, { level, way: 'down' })] : []),
      ]),
      ...(level === length - 1 ? [] : [[resized(c, told, 'down')]]),
    ]),
  ])

/** Residual block, attention, residual block, at the lowest resolution. */
export const middleBlock = (s: Scope, c: TrunkConfig, told: Told): Layer =>
  sequential(residual(c, told, {}), attend(c, told, { level: 'middle', way: 'down' }), residual(c, told, {}))(s)

/** `output_blocks`: from the coarsest level to the finest; a level's last block ends with an upsampling. */
export const outputBlocks = (s: Scope, c: TrunkConfig, told: Told): readonly Layer[] =>
  blocks(
    s,
    c.channelMultipliers
      .map((multiplier, level) =>
        Array.from({ length: c.resBlocks + 1 }, (_, i) => [
          residual(c, told, { out: c.modelChannels * multiplier }),
          ...(c.attentionFactors.includes(2 ** level) ? [attend(c, told, { level, way: 'up' })] : []),
          ...(level > 0 && i === c.resBlocks ? [resized(c, told, 'up')] : []),
        ]),
      )
      .toReversed()
      .flat(),
  )
