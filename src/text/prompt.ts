import { type Checked, fail } from '../error.ts'
import { E } from '../prelude.ts'
import type { Tokenizer } from './tokenizer.ts'

/** A text as a row of ids, as long as the model has positions. */
export interface PromptIds {
  readonly ids: readonly number[]
  /** What of the text did not fit and is left out; undefined where all of it is there. */
  readonly cut?: string
}

/** Of a text, in characters. */
export const longestPrompt = 100_000
/** Start and end, and one token between them. */
const fewest = 3

/** Ids between start and end, then padding: a row of `positions`; there is room for them. */
export const framed = (
  { start, end, pad }: Pick<Tokenizer, 'start' | 'end' | 'pad'>,
  ids: readonly number[],
  positions: number,
): readonly number[] => {
  const row = [...(start === null ? [] : [start]), ...ids, end]
  return [...row, ...Array.from({ length: positions - row.length }, () => pad)]
}

/**
 * A prompt as the ids that a text encoder takes: start, text, end, padding. What does not fit is cut and told. Errors (`data`): a text
 * that cannot be meant as one.
 *
 * @example
 * promptIds(tokenizer, 'a red circle') // right({ ids: [49406, 320, 736, 7117, 49407, 49407, ...] })
 */
export const promptIds = (
  tokenizer: Tokenizer,
  prompt: string,
  positions = tokenizer.positions,
): Checked<PromptIds> => {
  if (positions < fewest) return fail('data', 'prompt', `at least ${fewest} positions`, `${positions}`)
  if (prompt.length > longestPrompt)
    return fail('data', 'prompt', `at most ${longestPrompt} characters`, `${prompt.length}`)
  const ids = tokenizer.encode(prompt)
  const room = positions - (tokenizer.start === null ? 1 : 2)
  const whole = { ids: framed(tokenizer, ids.slice(0, room), positions) }
  return E.right(ids.length <= room ? whole : { ...whole, cut: tokenizer.decode(ids.slice(room)) })
}
