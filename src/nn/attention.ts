import {
  add,
  at,
  channels,
  gelu,
  matmul,
  mul,
  part,
  reshape,
  type Scope,
  select,
  shared,
  softmax,
  type Tensor,
  transpose,
  unsqueeze,
} from '../declare/index.ts'
import { flow, pipe } from '../prelude.ts'
import {
  conv1d,
  conv2d,
  defaultGroups,
  type GroupNorm,
  groupNorm,
  type Layer,
  layerNorm,
  linear,
  type Module,
  sequential,
  zeros,
} from './layers.ts'

/** Queries, keys and values of one attention. */
export interface Attended {
  readonly q: Tensor
  readonly k: Tensor
  readonly v: Tensor
}
const scaled = (q: Tensor, width: number): Tensor => pipe(q, mul(1 / Math.sqrt(width)))

/** v softmax(q^T k / sqrt d)^T over [..., d, T]: positions are columns, as in feature maps. */
const attendColumns = ({ q, k, v }: Attended): Tensor => {
  const weights = pipe(scaled(q, q.shape.at(-2) ?? 1), matmul(k, { transposeA: true }), softmax(-1))
  return pipe(v, matmul(weights, { transposeB: true }))
}
/** softmax(q k^T / sqrt d) v over [..., T, d]: positions are rows, as in sequences. `keep` is true where q may look. */
const attendRows = ({ q, k, v }: Attended, keep: Tensor | undefined): Tensor =>
  attendScored({ q: scaled(q, q.shape.at(-1) ?? 1), k, v }, keep)
/** softmax(q k^T + bias) v: the queries come as they are. */
export const attendScored = ({ q, k, v }: Attended, keep: Tensor | undefined, bias?: Tensor): Tensor => {
  const products = pipe(q, matmul(k, { transposeB: true }))
  const scores = bias === undefined ? products : pipe(products, add(bias))
  return pipe(keep === undefined ? scores : pipe(keep, select(scores, -maxFloat32)), softmax(-1), matmul(v))
}
const maxFloat32 = (2 - 2 ** -23) * 2 ** 127

/** [N, C, H, W] -> [N, C, H W] */
const flat: Layer = (x) => {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape
  return pipe(x, reshape(n, c, h * w))
}

/**
 * Attention of all positions of a feature map to each other, one head as wide as the map, with residual.
 * Source: `AttnBlock` of ldm/modules/diffusionmodules/model.py.
 */
export const attnBlock = (s: Scope, groups = defaultGroups): Layer =>
  shared((x) => {
    const h = pipe(x, groupNorm(at(s, 'norm'), { groups, eps: 1e-6 }))
    const project = (name: string): Layer => conv2d(at(s, name), { out: channels(x), kernel: 1 })
    const [q, k, v] = [pipe(h, project('q'), flat), pipe(h, project('k'), flat), pipe(h, project('v'), flat)]
    return pipe(attendColumns({ q, k, v }), reshape(...x.shape), project('proj_out'), add(x))
  })
/** `SpatialSelfAttention` of ldm/modules/attention.py: another name for the same. */
export const spatialSelfAttention = attnBlock

/** How an attention is divided. */
export interface Heads {
  readonly heads: number
  /** Width of one head. */
  readonly headChannels: number
}
/**
 * Attention without a product of all pairs: keys are a softmax over positions and meet the values first.
 * Source: `LinearAttention` of ldm/modules/attention.py.
 */
export const linearAttention = (s: Scope, { heads, headChannels }: Heads): Layer =>
  shared((x) => {
    const [n = 0, c = 0, h = 0, w = 0] = x.shape
    const out = heads * headChannels
    const qkv = pipe(x, conv2d(at(s, 'to_qkv'), { out: 3 * out, kernel: 1, bias: false }))
    const third = (i: number): Tensor => pipe(part(qkv, 1, i * out, out), reshape(n, heads, headChannels, h * w))
    const memory = pipe(third(1), softmax(-1), matmul(third(2), { transposeB: true }))
    return pipe(
      memory,
      matmul(third(0), { transposeA: true }),
      reshape(n, out, h, w),
      conv2d(at(s, 'to_out'), { out: c, kernel: 1 }),
    )
  })

/** Options of `qkvAttention`. */
export interface QkvAttention {
  readonly heads: number
  /** How the 3 C channels lie: (head, qkv, channel) in `legacy`, (qkv, head, channel) in `new`. */
  readonly order: 'legacy' | 'new'
}
/** Attention of columns given as qkv[N, 3 C, T]; -> [N, C, T] */
export const qkvAttention =
  ({ heads, order }: QkvAttention): Layer =>
  (qkv) => {
    const [n = 0, width = 0, t = 0] = qkv.shape
    const d = width / 3 / heads
    const third = {
      legacy: (i: number) => part(pipe(qkv, reshape(n, heads, 3 * d, t)), 2, i * d, d),
      new: (i: number) => pipe(part(qkv, 1, i * heads * d, heads * d), reshape(n, heads, d, t)),
    }[order]
    return pipe(attendColumns({ q: third(0), k: third(1), v: third(2) }), reshape(n, heads * d, t))
  }

/** The U-Net's self-attention, with residual. Source: `AttentionBlock` of ldm/modules/diffusionmodules/openaimodel.py. */
export const attentionBlock = (
  s: Scope,
  { norm, ...options }: QkvAttention & { readonly norm?: GroupNorm | undefined },
): Layer =>
  shared((x) =>
    pipe(
      x,
      groupNorm(at(s, 'norm'), norm),
      conv1d(at(s, 'qkv'), { out: 3 * channels(x) }),
      flat,
      qkvAttention(options),
      reshape(...x.shape),
      conv1d(at(s, 'proj_out'), { out: channels(x), init: zeros }),
      add(x),
    ),
  )

/** What an attention attends to. */
export interface Context {
  /** What is attended to, [N, L, E]; x itself where left out. */
  readonly context?: Tensor | undefined
}
/** Options of `crossAttention`. */
export interface CrossAttention extends Heads, Context {
  /** bool[N, L]: true where the context may be looked at. */
  readonly mask?: Tensor
}
/** Attention of x[N, T, D] to a context. Source: `CrossAttention` of ldm/modules/attention.py. */
export const crossAttention = (s: Scope, { heads, headChannels, context, mask }: CrossAttention): Layer =>
  shared((x) => {
    const [n = 0, t = 0, d = 0] = x.shape
    const out = heads * headChannels
    const headsOf = (name: string, of: Tensor): Tensor =>
      pipe(
        of,
        linear(at(s, name), { out, bias: false }),
        reshape(n, of.shape[1] ?? 0, heads, headChannels),
        transpose(0, 2, 1, 3),
      )
    const seen = context ?? x
    const attended = attendRows(
      { q: headsOf('to_q', x), k: headsOf('to_k', seen), v: headsOf('to_v', seen) },
      mask === undefined ? undefined : pipe(mask, unsqueeze(1, 2)),
    )
    return pipe(attended, transpose(0, 2, 1, 3), reshape(n, t, out), linear(at(s, 'to_out.0'), { out: d }))
  })

/** Options of `feedForward`. */
export interface FeedForward {
  /** Width of the result; x's where left out. */
  readonly out?: number
  /** Width of the hidden layer over x's. */
  readonly mult?: number
  /** A second projection, through GELU, gates the first (GEGLU). */
  readonly gated?: boolean
}
/** Source: `FeedForward` and `GEGLU` of ldm/modules/attention.py. */
export const feedForward = (s: Scope, { out, mult = 4, gated = false }: FeedForward = {}): Layer =>
  shared((x) => {
    const width = x.shape.at(-1) ?? 0
    const inner = Math.floor(width * mult)
    const geglu: Layer = (h) => pipe(part(h, -1, inner, inner), gelu, mul(part(h, -1, 0, inner)))
    return pipe(
      x,
      linear(at(s, gated ? 'net.0.proj' : 'net.0.0'), { out: gated ? 2 * inner : inner }),
      gated ? geglu : gelu,
      linear(at(s, 'net.2'), { out: out ?? width }),
    )
  })

/** Options of `transformerBlock`. */
export interface TransformerBlock extends Heads, Context {
  readonly gated?: boolean
  /** The first attention sees the context too [disable_self_attn]. */
  readonly contextOnly?: boolean
}
/**
 * Self-attention, attention to the context and a feed-forward layer over x[N, T, D], each after a LayerNorm and with
 * residual. Source: `BasicTransformerBlock` of ldm/modules/attention.py.
 */
export const basicTransformerBlock = (
  s: Scope,
  { context, gated = true, contextOnly = false, ...heads }: TransformerBlock,
): Layer => {
  const residual = (norm: string, layer: Layer): Layer => {
    const branch = flow(layerNorm(at(s, norm)), layer)
    return (x) => pipe(x, branch, add(x))
  }
  return flow(
    residual('norm1', crossAttention(at(s, 'attn1'), contextOnly ? { ...heads, context } : heads)),
    residual('norm2', crossAttention(at(s, 'attn2'), { ...heads, context })),
    residual('norm3', feedForward(at(s, 'ff'), { gated })),
  )
}

/** Options of `spatialTransformer`. */
export interface SpatialTransformer extends Omit<TransformerBlock, 'gated'> {
  readonly depth?: number
  /** What leads into the blocks and out of them: 1x1 convolutions of the map, or linear layers of its positions. */
  readonly projection?: 'conv' | 'linear'
}
/**
 * Transformer blocks over the positions of x[N, C, H, W]. Source: `SpatialTransformer` of ldm/modules/attention.py, with `use_linear`
 * of Stability-AI/stablediffusion.
 */
export const spatialTransformer = (s: Scope, { depth = 1, projection = 'conv', ...block }: SpatialTransformer): Layer =>
  shared((x) => {
    const [n = 0, c = 0, h = 0, w = 0] = x.shape
    const width = block.heads * block.headChannels
    const blocks = Array.from({ length: depth }, (): Module => (b) => basicTransformerBlock(b, block))
    const rows = (of: number): Layer => flow(reshape(n, of, h * w), transpose(0, 2, 1))
    const map = (of: number): Layer => flow(transpose(0, 2, 1), reshape(n, of, h, w))
    const [first, last] = [at(s, 'proj_in'), at(s, 'proj_out')]
    const { enter, leave } = {
      conv: {
        enter: flow(conv2d(first, { out: width, kernel: 1 }), rows(width)),
        leave: flow(map(width), conv2d(last, { out: c, kernel: 1, init: zeros })),
      },
      linear: {
        enter: flow(rows(c), linear(first, { out: width })),
        leave: flow(linear(last, { out: c, init: zeros }), map(c)),
      },
    }[projection]
    return pipe(
      x,
      groupNorm(at(s, 'norm'), { eps: 1e-6 }),
      enter,
      sequential(...blocks)(at(s, 'transformer_blocks')),
      leave,
      add(x),
    )
  })
