import {
  apply,
  gather,
  isTensor,
  less,
  parameter,
  select,
  sub,
  type Tensor,
  topological,
  unsqueeze,
} from '../declare/index.ts'
import { pipe, RR } from '../prelude.ts'
import { about, type Decoded, describedRecord, integer, list, nonEmpty, withDefault } from '../schema.ts'
import { type Conditioner, conditioningLeaves, type Told } from './conditioner.ts'
import { encoderScope, type FrozenText } from './frozen-text.ts'
import { held } from './held-model.ts'

/** A word of its own in text encoders that stay as they are. */

export const inversionFields = describedRecord(
  {
    token: about('The word that one writes in a prompt; none that the tokenizer has already.', nonEmpty, '<toy>'),
    initial: about('A word, or some, whose embeddings the vectors begin with: what the thing is.', nonEmpty, 'doll'),
  },
  {
    vectors: about(
      'How many embeddings the word has in each encoder; more hold more of what it looks like, and take more of a prompt.',
      withDefault(integer({ min: 1, max: 64 }), 1),
    ),
    templates: about(
      'What stands for captions that do not have the word: the first for the first picture, and so on; {} is the word.',
      withDefault(list(nonEmpty, { min: 1, max: 1000 }), ['a photo of {}']),
    ),
  },
  { of: held },
)
export type NewWord = Decoded<typeof inversionFields>

/** What the names of its leaves begin with. */
export const inversionPrefix = 'inversion/'
/** Its embeddings for the k-th encoder, [vectors, width]. */
export const inversionLeaf = (k: number): string => `${inversionPrefix}${k}`
/** The table of the k-th encoder, one of CLIP. */
export const tableOf = (k: number): string =>
  `${encoderScope(k)}.transformer.text_model.embeddings.token_embedding.weight`

/** Rows of a table, or of the word's own for ids from the end of the tokenizer's vocabulary on. */
const looksUp = (table: Tensor, ids: Tensor, own: Tensor, first: number): Tensor => {
  const known = pipe(ids, less(first))
  const zero = pipe(ids, sub(ids))
  const there = pipe(table, gather(pipe(known, select(ids, zero))))
  const new_ = pipe(own, gather(pipe(known, select(zero, pipe(ids, sub(first))))))
  return pipe(known, unsqueeze(ids.shape.length), select(there, new_))
}

/** Expressions with the word in the place of tables alone. */
const taught = (
  { vectors }: NewWord,
  { encoders }: FrozenText,
  outputs: Readonly<Record<string, Tensor>>,
): Readonly<Record<string, Tensor>> => {
  const places = new Map(encoders.map((encoder, k) => [tableOf(k), { k, first: encoder.tokens.size }]))
  const stands = new Map<Tensor, Tensor>()
  const now = (x: Tensor): Tensor => stands.get(x) ?? x
  const leaves = new Map<number, Tensor>()
  const own = (k: number, width: number): Tensor => {
    const leaf = leaves.get(k) ?? parameter('', inversionLeaf(k), [vectors, width], { kind: 'loaded' })
    leaves.set(k, leaf)
    return leaf
  }
  for (const x of topological(Object.values(outputs))) {
    const [table, ids] = x.args.map(now)
    const place =
      isTensor('gather')(x) && table !== undefined && isTensor('parameter')(table)
        ? places.get(table.attributes.name)
        : undefined
    if (place !== undefined && table !== undefined && ids !== undefined)
      stands.set(x, looksUp(table, ids, own(place.k, table.shape[1] ?? 0), place.first))
    else if (x.args.some((a) => now(a) !== a)) stands.set(x, apply(x.op, x.attributes, x.args.map(now), x.scope))
  }
  return pipe(outputs, RR.map(now))
}

/** Texts are encoded at each step of training, as the word changes; before a walk once. */
export const withNewWord =
  (word: NewWord, c: FrozenText) =>
  ({ learntAhead: _, ahead, ...conditioner }: Conditioner): Conditioner => {
    if (ahead === undefined) return conditioner
    const encoded = (batch: number): Readonly<Record<string, Tensor>> => taught(word, c, ahead(batch))
    const told = (batch: number): Told => {
      const { [conditioningLeaves.context]: context, [conditioningLeaves.vector]: y } = encoded(batch)
      return { ...(context === undefined ? {} : { context }), ...(y === undefined ? {} : { y }) }
    }
    return { ...conditioner, ahead: encoded, walked: conditioner.given, given: told, trained: told }
  }
