import { at, constant, mul, reshape, type Scope, shared, type Tensor, transpose } from '../../declare/index.ts'
import type { Initializer } from '../../graph/ops.ts'
import { pipe } from '../../prelude.ts'
import { attendScored, type Heads } from '../attention.ts'
import { type Layer, linear } from '../layers.ts'

/** How a family of text networks calls and starts the four projections of its attention. */
export interface AttentionFamily {
  readonly names: { readonly q: string; readonly k: string; readonly v: string; readonly out: string }
  /** Whether queries, keys and values have biases; the result has one where `outBias` says so. */
  readonly bias: boolean
  readonly outBias: boolean
  /** What products of queries and keys are multiplied by; 1 / sqrt(width of a head) where left out. */
  readonly scale?: number
  readonly init?: { readonly qkv?: Initializer; readonly out?: Initializer; readonly bias?: Initializer }
}
export interface SelfAttention extends Heads {
  /** bool[..., L, L]: true where a row may look at a column. */
  readonly keep?: Tensor | undefined
  /** Added to the products, [..., heads, L, L]. */
  readonly offsets?: Tensor | undefined
}

const started = (init: Initializer | undefined, biasInit: Initializer | undefined) => ({
  ...(init === undefined ? {} : { init }),
  ...(biasInit === undefined ? {} : { biasInit }),
})

/** Attention of the positions of x[N, L, D] to each other; -> [N, L, D] */
export const selfAttention =
  ({ names, bias, outBias, scale, init = {} }: AttentionFamily) =>
  (s: Scope, { heads, headChannels, keep, offsets }: SelfAttention): Layer =>
    shared((x) => {
      const [n = 0, length = 0, width = 0] = x.shape
      const inner = heads * headChannels
      const headsOf = (y: Tensor): Tensor => pipe(y, reshape(n, length, heads, headChannels), transpose(0, 2, 1, 3))
      const project = (name: string): Tensor =>
        pipe(x, linear(at(s, name), { out: inner, bias, ...started(init.qkv, init.bias) }))
      const q = pipe(project(names.q), mul(scale ?? 1 / Math.sqrt(headChannels)), headsOf)
      return pipe(
        attendScored({ q, k: headsOf(project(names.k)), v: headsOf(project(names.v)) }, keep, offsets),
        transpose(0, 2, 1, 3),
        reshape(n, length, inner),
        linear(at(s, names.out), { out: width, bias: outBias, ...started(init.out, init.bias) }),
      )
    })

/** bool[L, L]: a position looks at itself and at what is before it. */
export const causal = (length: number): Tensor =>
  constant(
    Array.from({ length: length * length }, (_, i) => (i % length <= Math.floor(i / length) ? 1 : 0)),
    { dtype: 'bool', shape: [length, length] },
  )
