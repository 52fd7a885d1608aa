import {
  add,
  at,
  constant,
  div,
  faulty,
  gelu,
  mean,
  mul,
  parameter,
  relu,
  reshape,
  type Scope,
  shared,
  sqrt,
  square,
  type Tensor,
  tanh,
  transpose,
} from '../../declare/index.ts'
import type { Initializer } from '../../graph/ops.ts'
import { pipe } from '../../prelude.ts'
import { about, type Decoded, describedRecord, integer, number, withDefault, word } from '../../schema.ts'
import { entries, width } from '../bounds.ts'
import { embedding, type Layer, linear, ones } from '../layers.ts'
import { type AttentionFamily, selfAttention } from './attention.ts'

/** Activations of T5's encoders, by the names of transformers. */
export const t5Activations = ['relu', 'gated-gelu', 'gelu'] as const
/** The codec of a T5 encoder. */
export const t5Config = describedRecord(
  {
    vocabulary: about('Tokens that have an embedding; 32,128 in the published models.', entries, 32128),
    width: about('Channels of the states, and so of the context that the U-Net attends to.', width, 4096),
    layers: about('Transformer blocks in a row.', integer({ min: 1, max: 128 }), 24),
    heads: about('Heads of an attention.', width, 64),
    headChannels: about('Channels of a head; heads times this need not be the width.', width, 64),
    mlpWidth: about('Channels of the hidden layer of each block.', width, 10240),
  },
  {
    activation: about(
      'Of the hidden layers: "gated-gelu" has a second projection that the first, through GELU by tanh, gates, as T5 1.1; "relu" is T5\'s own.',
      withDefault(word(t5Activations), 'gated-gelu'),
    ),
    buckets: about(
      'Distances between tokens that are told apart, half of them to each side.',
      withDefault(integer({ min: 4, max: 1024 }), 32),
    ),
    farthest: about(
      'Distance in tokens beyond which all are one.',
      withDefault(integer({ min: 4, max: 2 ** 20 }), 128),
    ),
    eps: about(
      'What is added to the mean square of normalisations before its root.',
      withDefault(number({ above: 0, max: 1 }), 1e-6),
    ),
  },
)
/** `t5Config`, decoded. */
export type T5Config = Decoded<typeof t5Config>

const normal = (std: number): Initializer => ({ kind: 'normal', std })

/** x / sqrt(mean x^2 + eps), scaled by channel: no mean is taken away, nothing is added. */
const rmsNorm = (s: Scope, eps: number): Layer =>
  shared((x) => {
    const root = pipe(x, square, mean({ axes: [-1], keepDims: true }), add(eps), sqrt)
    return pipe(x, div(root), mul(parameter(s, 'weight', [x.shape.at(-1) ?? 0], ones)))
  })

/** GELU by tanh, as T5 1.1 was trained with it. */
const geluByTanh: Layer = (x) => {
  const inner = pipe(x, mul(x), mul(x), mul(0.044715), add(x), mul(Math.sqrt(2 / Math.PI)), tanh)
  return pipe(inner, add(1), mul(pipe(x, mul(0.5))))
}

const { fround, log } = Math
/** The bucket of the distance from a query to a key: near ones each have their own, further ones share by their logarithm, in float32 as in the reference. */
const bucketOf = (distance: number, { buckets, farthest }: T5Config): number => {
  const side = Math.floor(buckets / 2)
  const exact = Math.floor(side / 2)
  const away = Math.abs(distance)
  const far =
    exact + Math.floor(fround(fround(fround(log(fround(away / exact))) / log(farthest / exact)) * (side - exact)))
  return (distance > 0 ? side : 0) + (away < exact ? away : Math.min(side - 1, far))
}

/** What is added to the products of queries and keys, [heads, L, L], from a learnt table. */
const distances = (s: Scope, length: number, c: T5Config): Tensor => {
  const indices = Array.from({ length: length * length }, (_, i) => bucketOf((i % length) - Math.floor(i / length), c))
  const rows = embedding(s, { entries: c.buckets, dim: c.heads, init: normal(1 / Math.sqrt(c.width)) })
  return pipe(constant(indices, { dtype: 'int32', shape: [length, length] }), rows, transpose(2, 0, 1))
}

const family: AttentionFamily = {
  names: { q: 'q', k: 'k', v: 'v', out: 'o' },
  bias: false,
  outBias: false,
  scale: 1,
}

const feedForward = (s: Scope, { width: out, mlpWidth, activation }: T5Config): Layer => {
  const own = at(s, 'DenseReluDense')
  const project = (name: string, to: number): Layer =>
    linear(at(own, name), { out: to, bias: false, init: normal(1 / Math.sqrt(name === 'wo' ? mlpWidth : out)) })
  const [first, second] = [project('wi_0', mlpWidth), project('wi_1', mlpWidth)]
  const inner: { readonly [A in T5Config['activation']]: Layer } = {
    relu: (x) => relu(project('wi', mlpWidth)(x)),
    gelu: (x) => gelu(project('wi', mlpWidth)(x)),
    'gated-gelu': (x) => pipe(geluByTanh(first(x)), mul(second(x))),
  }
  return shared((x) => pipe(x, inner[activation], project('wo', out)))
}

/**
 * The encoder of T5: token ids int32[N, L] -> [N, L, width]. `keep`, bool[N, L], is true where a token is none of padding; where it
 * is left out, padding takes part. Parameters are named as transformers names them. Sources: `T5EncoderModel` of transformers
 * [Raffel 2020], `FrozenT5Embedder` of Stability's encoders/modules.py, which stands behind `transformer`.
 *
 * @example
 * const context = t5Encoder('cond_stage_model.transformer', config)(ids)
 */
export const t5Encoder = (s: Scope, c: T5Config): ((ids: Tensor, keep?: Tensor) => Tensor) => {
  const encoder = at(s, 'encoder')
  const tokens = embedding(at(s, 'shared'), { entries: c.vocabulary, dim: c.width })
  const norm = rmsNorm(at(encoder, 'final_layer_norm'), c.eps)
  return shared((ids: Tensor, keep?: Tensor) => {
    const [n = 0, length = 0] = ids.shape
    const sound = length === 0 ? faulty(encoder, 'at least one token', 'none') : ids
    const offsets = distances(at(encoder, 'block.0.layer.0.SelfAttention.relative_attention_bias'), length, c)
    const seen = keep === undefined ? undefined : pipe(keep, reshape(n, 1, 1, length))
    const block = (x: Tensor, i: number): Tensor => {
      const own = at(encoder, `block.${i}`)
      const attend = selfAttention(family)(at(own, 'layer.0.SelfAttention'), {
        heads: c.heads,
        headChannels: c.headChannels,
        keep: seen,
        offsets,
      })
      const h = pipe(x, rmsNorm(at(own, 'layer.0.layer_norm'), c.eps), attend, add(x))
      return pipe(h, rmsNorm(at(own, 'layer.1.layer_norm'), c.eps), feedForward(at(own, 'layer.1'), c), add(h))
    }
    return norm(Array.from({ length: c.layers }, (_, i) => i).reduce(block, tokens(sound)))
  })
}
