import { type Checked, collect, fail } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { framed } from './prompt.ts'
import type { Tokenizer } from './tokenizer.ts'

/** Weights on words, as people write them, and prompts of any length, as diffusers' community pipeline `lpw_stable_diffusion.py` has both. */

/** A part of a prompt, and by what its tokens' embeddings are multiplied. */
export interface WeightedText {
  readonly text: string
  readonly weight: number
}

/** Escapes, brackets, `:1.3)`, everything else. */
const marks = /\\[()[\]\\]|\\|[([]|:([+-]?[.\d]+)\)|[)\]]|[^\\()[\]:]+|:/g
const perBracket = 1.1
const longestPrompt = 100_000

/** Parts side by side of one weight are one part. */
const joined = (pieces: readonly WeightedText[]): readonly WeightedText[] => {
  const all: WeightedText[] = []
  for (const piece of pieces) {
    const last = all.at(-1)
    if (last === undefined || last.weight !== piece.weight) all.push(piece)
    else all[all.length - 1] = { text: last.text + piece.text, weight: last.weight }
  }
  return all
}

/**
 * The parts of a prompt: `(word)` has weight 1.1, `[word]` 1 / 1.1, `(word:1.3)` 1.3, brackets in brackets the product; `\\(` is a
 * bracket of the text. One that is never closed goes to the end. Errors (`data`): a weight that is no number.
 *
 * @example
 * weightedTexts('a (red:1.3) [cat]') // right([{ text: 'a ', weight: 1 }, { text: 'red', weight: 1.3 }, ...])
 */
export const weightedTexts = (prompt: string): Checked<readonly WeightedText[]> => {
  if (prompt.length > longestPrompt)
    return fail('data', 'prompt', `at most ${longestPrompt} characters`, `${prompt.length}`)
  const pieces: { text: string; weight: number }[] = []
  const [round, square]: [number[], number[]] = [[], []]
  const weigh = (from: number | undefined, factor: number): void => {
    for (const piece of pieces.slice(from ?? pieces.length)) piece.weight *= factor
  }
  for (const [mark, written] of prompt.matchAll(marks)) {
    if (mark === '(') round.push(pieces.length)
    else if (mark === '[') square.push(pieces.length)
    else if (written !== undefined && round.length > 0) {
      const weight = Number(written)
      if (Number.isNaN(weight))
        return fail('data', 'prompt', 'a number behind the colon', mark, 'write (word:1.3), or \\( for a bracket')
      weigh(round.pop(), weight)
    } else if (mark === ')' && round.length > 0) weigh(round.pop(), perBracket)
    else if (mark === ']' && square.length > 0) weigh(square.pop(), 1 / perBracket)
    else pieces.push({ text: mark.startsWith('\\') ? mark.slice(1) : mark, weight: 1 })
  }
  for (const from of round) weigh(from, perBracket)
  for (const from of square) weigh(from, 1 / perBracket)
  return E.right(pieces.length === 0 ? [{ text: '', weight: 1 }] : joined(pieces))
}

/** How weighted prompts are cut. */
export interface WeightedOptions {
  /** Chunks that a prompt may have at most; what is beyond them is cut. */
  readonly mostChunks?: number
  /** Whether chunks within a prompt keep the embeddings of their own start and end. */
  readonly innerEnds?: boolean
}
/** A prompt with weights, in as many chunks as the longest of its kind needs. */
export interface WeightedPrompt {
  /** Start, text, padding, end: all chunks in one row. */
  readonly ids: readonly number[]
  /** Rows of the encoder's length, each with its own start and end. */
  readonly chunks: readonly (readonly number[])[]
  /** For each position of the joined embeddings. */
  readonly weights: readonly number[]
  readonly cut?: string
}

interface Weighted {
  readonly ids: readonly number[]
  readonly weights: readonly number[]
}
const tokensOf = (tokenizer: Tokenizer, prompt: string): Checked<Weighted> =>
  pipe(
    weightedTexts(prompt),
    E.map((pieces) => {
      const rows = pieces.flatMap(({ text, weight }) => tokenizer.encode(text).map((id) => [id, weight] as const))
      return { ids: rows.map(([id]) => id), weights: rows.map(([, weight]) => weight) }
    }),
  )

const inChunks = (
  tokenizer: Tokenizer,
  { ids, weights }: Weighted,
  count: number,
  innerEnds: boolean,
): WeightedPrompt => {
  const { positions, start, end, pad } = tokenizer
  const room = positions - 2
  const kept = ids.slice(0, count * room)
  const padded = [...kept, ...Array.from({ length: count * room - kept.length }, () => pad)]
  const chunk = (i: number) => framed({ start, end, pad }, padded.slice(i * room, (i + 1) * room), positions)
  const row = framed({ start, end, pad }, padded, count * room + 2)
  const own = weights.slice(0, count * room)
  const between = (i: number): readonly number[] => [1, ...own.slice(i * room, (i + 1) * room), 1]
  const told = innerEnds ? Array.from({ length: count }, (_, i) => between(i)).flat() : [1, ...own]
  const columns = innerEnds ? count * positions : row.length
  const whole = {
    ids: row,
    chunks: Array.from({ length: count }, (_, i) => chunk(i)),
    weights: [...told, ...Array.from({ length: columns - told.length }, () => 1)].slice(0, columns),
  }
  return ids.length === kept.length ? whole : { ...whole, cut: tokenizer.decode(ids.slice(kept.length)) }
}

/**
 * Prompts that belong together, the positive and the negative one, in equally many chunks. Each part of a prompt is tokenised alone.
 * Errors (`data`): a weight that is no number, a tokenizer without a start token.
 *
 * @example
 * weightedPrompts(tokenizer, ['a (red:1.3) cat', 'blurry']) // right([{ ids, chunks, weights }, { ids, chunks, weights }])
 */
export const weightedPrompts = (
  tokenizer: Tokenizer,
  prompts: readonly string[],
  { mostChunks = 3, innerEnds = true }: WeightedOptions = {},
): Checked<readonly WeightedPrompt[]> =>
  tokenizer.start === null
    ? fail('data', 'prompt', 'a tokenizer with a start token, for weights and chunks', 'one without')
    : pipe(
        collect(prompts.map((prompt) => tokensOf(tokenizer, prompt))),
        E.map((all) => {
          const longest = Math.max(...all.map(({ ids }) => ids.length), 0)
          const count = Math.min(mostChunks, Math.max(1, Math.ceil(longest / (tokenizer.positions - 2))))
          return all.map((weighted) => inChunks(tokenizer, weighted, count, innerEnds))
        }),
      )
