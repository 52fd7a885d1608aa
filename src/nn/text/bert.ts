import { add, at, faulty, parameter, part, type Scope, shared, type Tensor } from '../../declare/index.ts'
import type { Initializer } from '../../graph/ops.ts'
import { pipe } from '../../prelude.ts'
import { about, type Decoded, describedRecord, integer, withDefault } from '../../schema.ts'
import { feedForward } from '../attention.ts'
import { entries, width } from '../bounds.ts'
import { embedding, type Layer, layerNorm } from '../layers.ts'
import { type AttentionFamily, selfAttention } from './attention.ts'

/** Heads and their width are those of the reference, whatever the width of the states. */
export const transformerEmbedderConfig = describedRecord(
  {
    width: about('Channels of the states, and so of the context that the U-Net attends to.', width, 1280),
    layers: about('Transformer blocks in a row.', integer({ min: 1, max: 128 }), 32),
  },
  {
    vocabulary: about('Tokens that have an embedding.', withDefault(entries, 30522)),
    positions: about(
      'Tokens of a text at most, start and end among them.',
      withDefault(integer({ min: 1, max: 4096 }), 77),
    ),
  },
)
/** `transformerEmbedderConfig`, decoded. */
export type TransformerEmbedderConfig = Decoded<typeof transformerEmbedderConfig>

const heads = { heads: 8, headChannels: 64 }
const family: AttentionFamily = {
  names: { q: 'to_q', k: 'to_k', v: 'to_v', out: 'to_out' },
  bias: false,
  outBias: true,
}
const start: Initializer = { kind: 'normal', std: 0.02 }

/**
 * The text transformer of CompVis' text to image: token ids int32[N, L] -> [N, L, width]. Every position looks at every other, padding
 * too. Parameters are named as in its checkpoints, behind `cond_stage_model`. Sources: `BERTEmbedder` and `TransformerEmbedder` of
 * ldm/modules/encoders/modules.py, `TransformerWrapper` of ldm/modules/x_transformer.py; its `to_logits`, which nothing reads, is left
 * out.
 *
 * @example
 * const context = transformerEmbedder('cond_stage_model', { width: 1280, layers: 32, vocabulary: 30522, positions: 77 })(ids)
 */
export const transformerEmbedder = (s: Scope, c: TransformerEmbedderConfig): ((ids: Tensor) => Tensor) => {
  const model = at(s, 'transformer')
  const tokens = embedding(at(model, 'token_emb'), { entries: c.vocabulary, dim: c.width, init: start })
  const residual = (i: number, layer: (scope: Scope) => Layer): Layer => {
    const own = at(model, `attn_layers.layers.${i}`)
    const [norm, block] = [layerNorm(at(own, 0)), layer(at(own, 1))]
    return (x) => pipe(x, norm, block, add(x))
  }
  const layers = Array.from({ length: c.layers }, (_, i) => [
    residual(2 * i, (scope) => selfAttention(family)(scope, heads)),
    residual(2 * i + 1, (scope) => feedForward(scope)),
  ]).flat()
  const norm = layerNorm(at(model, 'norm'))
  return shared((ids) => {
    const [, length = 0] = ids.shape
    const sound = length > c.positions ? faulty(model, `at most ${c.positions} tokens`, `${length}`) : ids
    const positions = parameter(at(model, 'pos_emb.emb'), 'weight', [c.positions, c.width], start)
    const embedded = pipe(tokens(sound), add(part(positions, 0, 0, Math.min(length, c.positions))))
    return norm(layers.reduce((h, layer) => layer(h), embedded))
  })
}
