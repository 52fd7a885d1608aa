import { type Checked, fail } from '../error.ts'
import { E } from '../prelude.ts'
import type { Tokenizer } from './tokenizer.ts'

/** A text as a row of ids, as long as the model has positions. */
export interface PromptIds {
  readonly ids: readonly number[]
  /** What of the text did not fit and is left out; undefined where all of it is there. */
  readonly cut?: string
}

/** Words of a text that are told by their letters, and such as are not told at all. */
export interface Spelling {
  readonly spelled: readonly string[]
  readonly unknown: readonly string[]
}

/** How a model reads texts. */
export interface TextReader {
  /** As many ids as the model has positions: those of its tokenizer, or of several behind each other. */
  readonly row: (text: string) => PromptIds
  /** Where its words were learnt from captions: which of a text these do not have. */
  readonly spelling?: (text: string) => Spelling
}

/** Of a text, in characters. */
const longestPrompt = 100_000
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

/** A text as a row of so many positions: start, text, end, padding. What does not fit is cut and told. */
export const textRow = (tokenizer: Tokenizer, text: string, positions = tokenizer.positions): PromptIds => {
  const ids = tokenizer.encode(text)
  const room = positions - (tokenizer.start === null ? 1 : 2)
  const whole = { ids: framed(tokenizer, ids.slice(0, room), positions) }
  return ids.length <= room ? whole : { ...whole, cut: tokenizer.decode(ids.slice(room)) }
}

/** Rows of several tokenizers behind each other; what the first cuts is told. */
export const textRows =
  (tokenizers: readonly (readonly [tokenizer: Tokenizer, positions: number])[]): TextReader['row'] =>
  (text) => {
    const rows = tokenizers.map(([tokenizer, positions]) => textRow(tokenizer, text, positions))
    const cut = rows[0]?.cut
    return { ids: rows.flatMap(({ ids }) => ids), ...(cut === undefined ? {} : { cut }) }
  }

/**
 * A prompt as the ids that a text encoder takes. Errors (`data`): a text that cannot be meant as one, positions that leave no room.
 *
 * @example
 * promptIds(tokenizer, 'a red circle') // right({ ids: [49406, 320, 736, 7117, 49407, 49407, ...] })
 */
export const promptIds = (tokenizer: Tokenizer, prompt: string, positions = tokenizer.positions): Checked<PromptIds> =>
  positions < fewest
    ? fail('data', 'prompt', `at least ${fewest} positions`, `${positions}`)
    : prompt.length > longestPrompt
      ? fail('data', 'prompt', `at most ${longestPrompt} characters`, `${prompt.length}`)
      : E.right(textRow(tokenizer, prompt, positions))
