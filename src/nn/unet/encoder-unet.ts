import {
  add,
  at,
  channels,
  concat,
  mean,
  parameter,
  part,
  relu,
  reshape,
  type Scope,
  shared,
  silu,
  type Tensor,
} from '../../declare/index.ts'
import { pipe, RA, RNEA } from '../../prelude.ts'
import { qkvAttention } from '../attention.ts'
import { conv1d, conv2d, groupNorm, type Layer, linear, type Mode, type Module, sequential, zeros } from '../layers.ts'
import { headCount, inputBlocks, middleBlock } from './blocks.ts'
import type { EncoderUNetConfig, HeadsConfig, TrunkConfig } from './config.ts'
import { timeEmbedding } from './unet.ts'

const averaged: Layer = mean({ axes: [2, 3] })

/**
 * One vector for a feature map: attention of the mean and all positions, read at the mean; [N, C, H, W] -> [N, out].
 * Source: `AttentionPool2d` of ldm/modules/diffusionmodules/openaimodel.py.
 */
export const attentionPool = (s: Scope, { out, heads }: { readonly out: number; readonly heads: HeadsConfig }): Layer =>
  shared((x) => {
    const [n = 0, c = 0, h = 0, w = 0] = x.shape
    const position = parameter(s, 'positional_embedding', [c, h * w + 1], { kind: 'normal', std: 1 / Math.sqrt(c) })
    const columns = pipe(x, reshape(n, c, h * w))
    const y = pipe(
      concat(2, pipe(columns, mean({ axes: [2], keepDims: true })), columns),
      add(position),
      conv1d(at(s, 'qkv_proj'), { out: 3 * c }),
      qkvAttention({ heads: headCount(heads, c, { level: 'middle', way: 'down' }), order: 'new' }),
      conv1d(at(s, 'c_proj'), { out }),
    )
    return pipe(part(y, 2, 0, 1), reshape(n, out))
  })

const norm: Module = (s) => groupNorm(s)
const toSilu: Module = () => silu
const dense =
  (out: number): Module =>
  (s) =>
    linear(s, { out })

/** What follows the blocks: of all their averages for the spatial pools, of the last map for the others. */
const pooled = ({ pool, outChannels: out, heads }: EncoderUNetConfig): Module =>
  ({
    adaptive: sequential(
      norm,
      toSilu,
      () => mean({ axes: [2, 3], keepDims: true }),
      (s) => conv2d(s, { out, kernel: 1, init: zeros }),
      () => (x) => pipe(x, reshape(x.shape[0] ?? 0, channels(x))),
    ),
    attention: sequential(norm, toSilu, (s) => attentionPool(s, { out, heads })),
    spatial: sequential(dense(2048), () => relu, dense(out)),
    spatial_v2: sequential(dense(2048), norm, toSilu, dense(out)),
  })[pool]

/**
 * x[N, inChannels, H, W] at timesteps [N] -> [N, outChannels].
 * Source: `EncoderUNetModel` of ldm/modules/diffusionmodules/openaimodel.py.
 */
export const encoderUNet = (s: Scope, config: EncoderUNetConfig, { training = false }: Mode = {}) =>
  shared((x: Tensor, timesteps: Tensor): Tensor => {
    const dropout = training ? config.dropout : 0
    const c: TrunkConfig = { ...config, dropout, attention: { kind: 'self', order: config.order } }
    const told = {
      embedding: pipe(timesteps, timeEmbedding(at(s, 'time_embed'), c.modelChannels)),
      context: undefined,
    }
    const blocks = [...inputBlocks(at(s, 'input_blocks'), c, told), middleBlock(at(s, 'middle_block'), c, told)]
    const maps = pipe(
      blocks,
      RA.scanLeft(x, (h: Tensor, block: Layer) => block(h)),
    )
    const spatial = config.pool === 'spatial' || config.pool === 'spatial_v2'
    return pipe(spatial ? concat(1, ...maps.slice(1).map(averaged)) : RNEA.last(maps), pooled(config)(at(s, 'out')))
  })
