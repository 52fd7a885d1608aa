import type { Checked } from '../../error.ts'
import { E, pipe, t } from '../../prelude.ts'
import { decode, integer, number, record, withDefault, word } from '../../schema.ts'
import { entries, width } from '../bounds.ts'
import type { Layout } from '../layout.ts'
import { type T5Config, t5Activations } from './t5.ts'

/** The files in which people have the encoder of T5: transformers' configuration and names. */

/** The fields of a `config.json` that say something about the encoder. */
const fields = record(
  {
    vocab_size: entries,
    d_model: width,
    num_layers: integer({ min: 1, max: 128 }),
    num_heads: width,
    d_kv: width,
    d_ff: width,
  },
  {
    feed_forward_proj: withDefault(word(t5Activations), 'relu'),
    relative_attention_num_buckets: withDefault(integer({ min: 4, max: 1024 }), 32),
    relative_attention_max_distance: withDefault(integer({ min: 4, max: 2 ** 20 }), 128),
    layer_norm_epsilon: withDefault(number({ above: 0, max: 1 }), 1e-6),
  },
)
const Described = t.type({ properties: t.UnknownRecord })
const known = Described.is(fields.json) ? fields.json.properties : {}

/**
 * A transformers' `config.json` of a T5EncoderModel, or of the whole T5. `base` is the JSON pointer that errors begin with. Errors:
 * `config`.
 *
 * @example
 * const config = t5Of(JSON.parse(text), 'text_encoder/config.json')
 */
export const t5Of = (
  document: Readonly<Record<string, unknown>>,
  base = '',
): Checked<{ readonly kind: 't5'; readonly config: T5Config }> =>
  pipe(
    Object.fromEntries(Object.entries(document).filter(([key]) => key in known)),
    decode(fields, { base }),
    E.map((c) => ({
      kind: 't5',
      config: {
        vocabulary: c.vocab_size,
        width: c.d_model,
        layers: c.num_layers,
        heads: c.num_heads,
        headChannels: c.d_kv,
        mlpWidth: c.d_ff,
        activation: c.feed_forward_proj,
        buckets: c.relative_attention_num_buckets,
        farthest: c.relative_attention_max_distance,
        eps: c.layer_norm_epsilon,
      },
    })),
  )

const table = 'shared.weight'
/** Transformers' files: as ours; the table of tokens stands under one of its two names where it was saved once. */
export const t5Names = (keys: readonly string[]): Layout => {
  const other = 'encoder.embed_tokens.weight'
  return (name) => ({ key: name === table && !keys.includes(table) && keys.includes(other) ? other : name })
}
