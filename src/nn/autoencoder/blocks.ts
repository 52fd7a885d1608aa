import { add, at, channels, type Scope, shared, silu, type Tensor, unsqueeze } from '../../declare/index.ts'
import { flow, identity, pipe } from '../../prelude.ts'
import { attnBlock, linearAttention } from '../attention.ts'
import { averagePool2, conv2d, defaultGroups, dropout, groupNorm, type Layer, linear, upsample2 } from '../layers.ts'
import type { Pyramid } from './config.ts'

/** The parts of ldm/modules/diffusionmodules/model.py, named as there. */

const norm = (s: Scope, groups: number): Layer => groupNorm(s, { groups, eps: 1e-6 })

/** Options of `resnetBlock`. */
export interface ResnetBlock {
  /** Channels of the result; x's where left out. */
  readonly out?: number
  /** Timestep embedding [N, E]. */
  readonly temb?: Tensor | undefined
  readonly dropout?: number
  /** What carries x over where its channels change: a 1x1 (`nin`) or a 3x3 convolution. */
  readonly shortcut?: 'nin' | 'conv'
  /** Of the norms; default 32. */
  readonly groups?: number
}
/** x[N, C, H, W] and what two convolutions behind norms make of it. Source: `ResnetBlock` of ldm/modules/diffusionmodules/model.py. */
export const resnetBlock = (
  s: Scope,
  { out, temb, dropout: rate = 0, shortcut = 'nin', groups = defaultGroups }: ResnetBlock = {},
): Layer =>
  shared((x) => {
    const width = out ?? channels(x)
    const carry = {
      nin: conv2d(at(s, 'nin_shortcut'), { out: width, kernel: 1 }),
      conv: conv2d(at(s, 'conv_shortcut'), { out: width, kernel: 3, padding: 1 }),
    }[shortcut]
    return pipe(
      x,
      norm(at(s, 'norm1'), groups),
      silu,
      conv2d(at(s, 'conv1'), { out: width, kernel: 3, padding: 1 }),
      temb === undefined
        ? identity
        : add(pipe(temb, silu, linear(at(s, 'temb_proj'), { out: width }), unsqueeze(2, 3))),
      norm(at(s, 'norm2'), groups),
      silu,
      dropout(at(s, 'dropout'), rate),
      conv2d(at(s, 'conv2'), { out: width, kernel: 3, padding: 1 }),
      add(channels(x) === width ? x : carry(x)),
    )
  })

/** Halves height and width; the convolution's zeros stand at the right and at the bottom only. */
export const downsample = (s: Scope, { conv = true }: { readonly conv?: boolean } = {}): Layer =>
  conv
    ? shared((x) => pipe(x, conv2d(at(s, 'conv'), { out: channels(x), kernel: 3, stride: 2, padding: [0, 0, 1, 1] })))
    : averagePool2
/** Doubles height and width. */
export const upsample = (s: Scope, { conv = true }: { readonly conv?: boolean } = {}): Layer =>
  conv
    ? shared(flow(upsample2, (x) => pipe(x, conv2d(at(s, 'conv'), { out: channels(x), kernel: 3, padding: 1 }))))
    : upsample2

/** Linear attention with one head, without norm and residual. */
export const linAttnBlock = (s: Scope): Layer =>
  shared((x) => pipe(x, linearAttention(s, { heads: 1, headChannels: channels(x) })))

const attention = { vanilla: attnBlock, linear: linAttnBlock, none: () => identity }

interface Stages {
  readonly out: number
  readonly count: number
  readonly attends: boolean
  readonly temb: Tensor | undefined
}
const stages = (s: Scope, c: Pyramid, { out, count, attends, temb }: Stages): readonly Layer[] =>
  Array.from({ length: count }, (_, i) =>
    flow(
      resnetBlock(at(s, `block.${i}`), { out, temb, dropout: c.dropout, groups: c.normGroups }),
      attends ? attention[c.attention](at(s, `attn.${i}`), c.normGroups) : identity,
    ),
  )

/** Residual stages from the finest level to the coarsest, a downsampling between levels. */
export const down = (s: Scope, c: Pyramid, temb?: Tensor): readonly Layer[] => [
  conv2d(at(s, 'conv_in'), { out: c.channels, kernel: 3, padding: 1 }),
  ...c.channelMultipliers.flatMap((multiplier, level, { length }) => {
    const here = at(s, `down.${level}`)
    const attends = c.attentionResolutions.includes(Math.floor(c.resolution / 2 ** level))
    return [
      ...stages(here, c, { out: c.channels * multiplier, count: c.resBlocks, attends, temb }),
      ...(level === length - 1 ? [] : [downsample(at(here, 'downsample'), { conv: c.convResample })]),
    ]
  }),
]

/** Residual block, attention, residual block, at the lowest resolution. */
export const middle = (s: Scope, c: Pyramid, temb?: Tensor): Layer =>
  flow(
    resnetBlock(at(s, 'mid.block_1'), { temb, dropout: c.dropout, groups: c.normGroups }),
    attention[c.attention](at(s, 'mid.attn_1'), c.normGroups),
    resnetBlock(at(s, 'mid.block_2'), { temb, dropout: c.dropout, groups: c.normGroups }),
  )

/** Residual stages from the coarsest level to the finest; a level's last stage ends with an upsampling. */
export const up = (s: Scope, c: Pyramid, temb?: Tensor): readonly Layer[] => {
  const coarsest = c.channelMultipliers.length - 1
  return c.channelMultipliers
    .map((multiplier, level): readonly Layer[] => {
      const here = at(s, `up.${level}`)
      const resolution = Math.floor(c.resolution / 2 ** coarsest) * 2 ** (coarsest - level)
      const attends = c.attentionResolutions.includes(resolution)
      const blocks = stages(here, c, { out: c.channels * multiplier, count: c.resBlocks + 1, attends, temb })
      const enlarge = level === 0 ? identity : upsample(at(here, 'upsample'), { conv: c.convResample })
      return blocks.map((block, i) => (i === c.resBlocks ? flow(block, enlarge) : block))
    })
    .toReversed()
    .flat()
}

/** Norm, SiLU and a 3x3 convolution: the last layers of encoder and decoder. */
export const end = (s: Scope, c: Pyramid, out: number): Layer =>
  flow(norm(at(s, 'norm_out'), c.normGroups), silu, conv2d(at(s, 'conv_out'), { out, kernel: 3, padding: 1 }))
