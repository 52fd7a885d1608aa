import {
  add,
  argMax,
  at,
  cast,
  constant,
  equal,
  faulty,
  gather,
  gelu,
  integers,
  mul,
  parameter,
  part,
  reshape,
  type Scope,
  shared,
  sigmoid,
  type Tensor,
} from '../../declare/index.ts'
import type { Initializer } from '../../graph/ops.ts'
import { pipe, RA } from '../../prelude.ts'
import { embedding, type Layer, layerNorm, linear, zeros } from '../layers.ts'
import { type AttentionFamily, causal, selfAttention } from './attention.ts'
import type { ClipTextConfig, clipActivations } from './clip-config.ts'

const quickGelu: Layer = (x) => pipe(x, mul(pipe(x, mul(1.702), sigmoid)))
const activations: Readonly<Record<(typeof clipActivations)[number], Layer>> = { quick_gelu: quickGelu, gelu }

const normal = (std: number): Initializer => ({ kind: 'normal', std })

/** What of a CLIP transformer its blocks are built by. */
export interface ClipBlocks {
  readonly width: number
  readonly layers: number
  readonly heads: number
  readonly mlpWidth: number | null
  readonly activation: (typeof clipActivations)[number]
  readonly eps: number
}

/** As CLIP starts them [Radford 2021: `initialize_parameters` of clip/model.py]. */
const family = ({ width, layers }: ClipBlocks): AttentionFamily => ({
  names: { q: 'q_proj', k: 'k_proj', v: 'v_proj', out: 'out_proj' },
  bias: true,
  outBias: true,
  init: { qkv: normal(1 / Math.sqrt(width)), out: normal(1 / Math.sqrt(2 * layers * width)), bias: zeros },
})

const block = (s: Scope, c: ClipBlocks, keep: Tensor | undefined): Layer => {
  const { width, layers, heads, eps } = c
  const attend = selfAttention(family(c))(at(s, 'self_attn'), { heads, headChannels: width / heads, keep })
  const norm1 = layerNorm(at(s, 'layer_norm1'), { eps })
  const norm2 = layerNorm(at(s, 'layer_norm2'), { eps })
  const widen = linear(at(s, 'mlp.fc1'), { out: c.mlpWidth ?? 4 * width, init: normal(1 / Math.sqrt(2 * width)) })
  const narrow = linear(at(s, 'mlp.fc2'), { out: width, init: normal(1 / Math.sqrt(2 * layers * width)) })
  return (x) => {
    const h = pipe(x, norm1, attend, add(x))
    return pipe(h, norm2, widen, activations[c.activation], narrow, add(h))
  }
}

/** The states between blocks under `layers.0`, `layers.1`, ...: what comes in, then what each gives. */
export const clipBlocks =
  (s: Scope, c: ClipBlocks, keep?: Tensor) =>
  (x: Tensor): readonly Tensor[] =>
    pipe(
      Array.from({ length: c.layers }, (_, i) => block(at(s, `layers.${i}`), c, keep)),
      RA.scanLeft(x, (h: Tensor, layer: Layer) => layer(h)),
    )

/** What a text transformer knows of a text of L tokens; only what is used of it becomes part of a graph. */
export interface ClipText {
  /** [N, L, width]: the embedded tokens, then the state after each layer, none of them normalised. */
  readonly hidden: readonly Tensor[]
  /** The last state through the final layer norm. */
  readonly last: Tensor
  /** The last state, normalised, where the text ends, [N, width]. */
  readonly pooled: Tensor
  /** The pooled one projected, [N, projection]; undefined where the configuration has no projection. */
  readonly projected: Tensor | undefined
  /**
   * The state that lies `skip` layers before the last, through the final layer norm (`clip_skip` of Stable Diffusion 1 and 2); XL
   * takes `hidden.at(-2)` as it is.
   */
  readonly before: (skip: number) => Tensor
}

/** The place in each text at which it is pooled, int32[N]. */
const endOf = (ids: Tensor, { endToken }: ClipTextConfig): Tensor =>
  endToken === null
    ? pipe(ids, argMax(1))
    : pipe(ids, equal(constant([endToken], { dtype: 'int32', shape: [] })), cast('int32'), argMax(1))

const pooledAt = (states: Tensor, place: Tensor): Tensor => {
  const [n = 0, length = 0, width = 0] = states.shape
  const row = pipe(place, add(integers(Array.from({ length: n }, (_, i) => i * length))))
  return pipe(states, reshape(n * length, width), gather(row))
}

/**
 * CLIP's text transformer over token ids int32[N, L], L at most `positions`. There is no padding mask: a position looks at itself
 * and at what is before it. Parameters are named as in the single files of Stable Diffusion 1, behind `cond_stage_model`:
 * `transformer.text_model.encoder.layers.0.self_attn.q_proj.weight`. Sources: `CLIPTextTransformer` of transformers,
 * `encode_text` of clip/model.py.
 *
 * @example
 * const encoder = clipText('cond_stage_model', clipTextModels['ViT-L-14'])
 * const context = encoder(input('ids', int(1, 77))).last
 */
export const clipText = (s: Scope, c: ClipTextConfig): ((ids: Tensor) => ClipText) => {
  const model = at(s, 'transformer.text_model')
  const norm = layerNorm(at(model, 'final_layer_norm'), { eps: c.eps })
  const tokens = embedding(at(model, 'embeddings.token_embedding'), {
    entries: c.vocabulary,
    dim: c.width,
    init: normal(0.02),
  })
  const project =
    c.projection === null
      ? undefined
      : linear(at(s, 'transformer.text_projection'), {
          out: c.projection,
          bias: false,
          init: normal(1 / Math.sqrt(c.width)),
        })
  return shared((ids) => {
    const [, length = 0] = ids.shape
    const sound =
      c.width % c.heads !== 0
        ? faulty(model, `a width that ${c.heads} heads divide`, `${c.width}`)
        : length > c.positions
          ? faulty(model, `at most ${c.positions} tokens`, `${length}`)
          : ids
    const positions = parameter(
      at(model, 'embeddings.position_embedding'),
      'weight',
      [c.positions, c.width],
      normal(0.01),
    )
    const embedded = pipe(tokens(sound), add(part(positions, 0, 0, Math.min(length, c.positions))))
    const hidden = clipBlocks(at(model, 'encoder'), c, causal(length))(embedded)
    const before = (skip: number): Tensor => {
      const state = hidden[hidden.length - 1 - skip]
      return state === undefined ? faulty(model, `at most ${c.layers} layers to leave out`, `${skip}`) : norm(state)
    }
    const last = before(0)
    const pooled = pooledAt(last, endOf(sound, c))
    return { hidden, last, pooled, projected: project?.(pooled), before }
  })
}
