import { constant, input, less, noise, select, type Tensor, unsqueeze } from '../declare/index.ts'
import { ints } from '../execute/executor.ts'
import { float, int } from '../graph/types.ts'
import { width } from '../nn/bounds.ts'
import { clipText } from '../nn/text/clip.ts'
import { pipe } from '../prelude.ts'
import { about, type Decoded, describedRecord, integer, withDefault } from '../schema.ts'
import { leastVocabulary, specials } from '../text/learnt.ts'
import { type Conditioner, conditioningLeaves, dropped, type Told, unconditional } from './conditioner.ts'
import { setting, unless } from './problems.ts'

/** Texts as a condition. */

export const textFields = describedRecord(
  {},
  {
    dropout: dropped(0.1),
    vocabulary: about(
      'Tokens that are told apart: the most frequent words of the captions, and the letters of all others.',
      withDefault(integer({ min: leastVocabulary, max: 65536 }), 1024),
    ),
    positions: about(
      'Tokens of a text, its start and its end among them; what is longer is cut.',
      withDefault(integer({ min: 4, max: 1024 }), 32),
    ),
    width: about(
      "Channels of the transformer's states, and so of the U-Net's contextDim; more tell more texts apart.",
      withDefault(width, 128),
    ),
    layers: about('Transformer blocks in a row.', withDefault(integer({ min: 1, max: 64 }), 2)),
    heads: about('Heads of an attention; it must divide the width.', withDefault(integer({ min: 1, max: 256 }), 4)),
  },
)
export type TextFields = Decoded<typeof textFields>

/** Scope of the text transformer's parameters, as in published checkpoints. */
const scope = 'cond_stage_model'

export const textConditioner = ({ dropout, ...c }: TextFields): Conditioner => {
  const { vocabulary, positions } = c
  const encode = clipText(scope, {
    ...c,
    mlpWidth: null,
    activation: 'gelu',
    projection: null,
    eps: 1e-5,
    endToken: null,
  })
  const states = (ids: Tensor): Tensor => encode(ids).last
  const leaf = (name: string, batch: number): Tensor => input(name, int(batch, positions))
  const empty = [specials.start, specials.end, ...Array.from({ length: positions - 2 }, () => specials.pad)]
  const nothing = (batch: number): Tensor =>
    constant(Array.from({ length: batch }, () => empty).flat(), int(batch, positions))
  const dropped = (ids: Tensor): Tensor => {
    const [batch = 0] = ids.shape
    if (dropout === 0) return ids
    return pipe(noise('caption_dropout', [batch], 'uniform'), less(dropout), unsqueeze(1), select(nothing(batch), ids))
  }
  /** Texts are encoded once, before a walk. */
  const walked =
    (name: string) =>
    (batch: number): Told => ({ context: input(name, float(batch, positions, c.width)) })
  const at = '/diffusion/conditioning'
  return {
    ...unconditional,
    text: { vocabulary, positions },
    context: c.width,
    given: (batch) => ({ context: states(leaf(conditioningLeaves.tokens, batch)) }),
    trained: (batch) => ({ context: states(dropped(leaf(conditioningLeaves.tokens, batch))) }),
    ahead: (batch) => ({
      [conditioningLeaves.context]: states(leaf(conditioningLeaves.tokens, batch)),
      [conditioningLeaves.nothingContext]: states(nothing(batch)),
      [conditioningLeaves.awayContext]: states(leaf(conditioningLeaves.negativeTokens, batch)),
    }),
    walked: walked(conditioningLeaves.context),
    away: walked(conditioningLeaves.awayContext),
    ...(dropout > 0 && dropout < 1 ? { nothing: walked(conditioningLeaves.nothingContext) } : {}),
    feeds: ({ labels: { length: n }, tokens = new Int32Array(n * positions), negative }) => ({
      [conditioningLeaves.tokens]: ints([n, positions], tokens),
      ...(negative !== undefined && 'tokens' in negative
        ? {
            [conditioningLeaves.negativeTokens]: ints(
              [n, positions],
              Int32Array.from({ length: n * positions }, (_, i) => negative.tokens[i % positions] ?? specials.pad),
            ),
          }
        : {}),
    }),
    rules: unless(
      c.width % c.heads === 0,
      `${at}/heads`,
      `a divisor of ${c.width}, the width of the states`,
      c.heads,
      setting({ [`${at}/heads`]: 1 }),
    ),
  }
}
