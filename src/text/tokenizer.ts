import { Tokenizer as HuggingFace } from '@huggingface/tokenizers'
import { type Checked, type Errors, fail, failure, reasonOf } from '../error.ts'
import { E, flow, pipe } from '../prelude.ts'
import type { Cleaning } from './cleaning.ts'
import { cleanings } from './cleaning.ts'

/** The words that mean something to the model, as the tokenizer's files have them. */
export interface SpecialTokens {
  /** Before every text; null for a model that has none. */
  readonly start: string | null
  readonly end: string
  /** Behind the end, up to the last position. */
  readonly pad: string
}

/** Text as a model reads it. */
export interface Tokenizer {
  /** Ids of a text, without start and end. */
  readonly encode: (text: string) => readonly number[]
  /** The words or parts of words that ids stand for, as the vocabulary writes them. */
  readonly tokens: (ids: readonly number[]) => readonly string[]
  /** Ids as text again: what the tokenizer changes of a text stays changed. */
  readonly decode: (ids: readonly number[]) => string
  readonly start: number | null
  readonly end: number
  readonly pad: number
  /** Tokens of one text, start and end among them. */
  readonly positions: number
  /** How many ids there are: one more than the largest. */
  readonly size: number
  /** Tokens that were added to the vocabulary, by name: those of textual inversions. */
  readonly added: ReadonlyMap<string, number>
  /** The tokenizer with more words, each a token of its own from `size` on. Errors (`data`): a word that is there already. */
  readonly adding: (words: readonly string[]) => Checked<Tokenizer>
}

/** An entry of `added_tokens` in `tokenizer.json`. */
export interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
  readonly normalized: boolean
  readonly single_word: boolean
  readonly lstrip: boolean
  readonly rstrip: boolean
}
/** A token beside the vocabulary, which is found in texts before they are cut. */
export const addedToken = (id: number, content: string, { special = false, normalized = true } = {}): AddedToken => ({
  id,
  content,
  special,
  normalized,
  single_word: false,
  lstrip: false,
  rstrip: false,
})

/** What a tokenizer is made of. */
export interface TokenizerParts {
  /** `tokenizer.json`, without what was added to it. */
  readonly document: Readonly<Record<string, unknown>>
  readonly config: Readonly<Record<string, unknown>>
  readonly tokens: readonly AddedToken[]
  /** Names of those of `tokens` that were added afterwards. */
  readonly added: readonly string[]
  readonly special: SpecialTokens
  readonly positions: number
  readonly cleaning: Cleaning
  /** The file that errors name. */
  readonly at: string
}

const madeOf = ({ document, config, tokens, at }: TokenizerParts): Checked<HuggingFace> =>
  E.tryCatch(
    () => new HuggingFace({ ...document, added_tokens: tokens }, config),
    (reason): Errors => [
      failure('file', at, "a tokenizer as transformers' tokenizer.json describes one", reasonOf(reason)),
    ],
  )

/** The slow tokenizers mend what lies between the tokens that they know by name; OpenAI's mends the whole text. */
const between =
  (clean: (text: string) => string, names: readonly string[]) =>
  (text: string): string => {
    const present = names.filter((name) => text.includes(name)).toSorted((a, b) => b.length - a.length)
    if (present.length === 0) return clean(text)
    const pattern = new RegExp(`(${present.map((name) => name.replace(/[^\p{L}\p{N}]/gu, '\\$&')).join('|')})`)
    return text
      .split(pattern)
      .map((piece, i) => (i % 2 === 1 ? piece : clean(piece)))
      .join(' ')
  }
/** The original lowers letter by letter; here a sigma would know that it ends a word. */
const withoutFinalSigma = (text: string): string => text.replaceAll('Σ', 'σ')

/** An added word of several vectors is followed by its further ones, `word_1`, `word_2` (diffusers' `maybe_convert_prompt`). */
const withFurther =
  (made: HuggingFace, clean: (text: string) => string, added: readonly string[]) =>
  (text: string): string => {
    const several = added.filter((word) => added.includes(`${word}_1`))
    if (several.length === 0) return text
    const present = new Set(made.encode(clean(text), { add_special_tokens: false }).tokens)
    return several
      .filter((word) => present.has(word))
      .reduce((written, word) => {
        const further = added.filter(
          (other) => other.startsWith(`${word}_`) && /^\d+$/.test(other.slice(word.length + 1)),
        )
        return written.replaceAll(word, [word, ...further].join(' '))
      }, text)
  }

/** A tokenizer of its parts. Errors (`file`): a document that describes none, a special token that is not in it. */
export const tokenizerOf = (parts: TokenizerParts): Checked<Tokenizer> =>
  pipe(
    madeOf(parts),
    E.flatMap((made) => {
      const { at, special, positions, tokens } = parts
      const ids = new Map<string, number>([
        ...made.get_vocab(false),
        ...tokens.map(({ content, id }) => [content, id] as const),
      ])
      const words = new Map<number, string>([...ids].map(([name, id]) => [id, name]))
      const idOf = (name: string): Checked<number> => {
        const id = ids.get(name)
        return id === undefined
          ? fail('file', at, `the special token ${JSON.stringify(name)} in the vocabulary`, `${ids.size} others`)
          : E.right(id)
      }
      const mend = cleanings[parts.cleaning]
      const names = tokens.map(({ content }) => content)
      const mended = parts.cleaning === 'transformers' ? between(mend, names) : mend
      const lowers = JSON.stringify(parts.document.normalizer ?? null).includes('owercase')
      const clean = lowers ? flow(mended, withoutFinalSigma) : mended
      const whole = withFurther(made, clean, parts.added)
      const size = [...ids.values()].reduce((most, id) => Math.max(most, id), -1) + 1
      return pipe(
        E.Do,
        E.bind('start', (): Checked<number | null> => (special.start === null ? E.right(null) : idOf(special.start))),
        E.bind('end', () => idOf(special.end)),
        E.bind('pad', () => idOf(special.pad)),
        E.map(
          (specials): Tokenizer => ({
            ...specials,
            positions,
            size,
            encode: (text) => made.encode(clean(whole(text)), { add_special_tokens: false }).ids,
            tokens: (given) => given.map((id) => words.get(id) ?? ''),
            decode: (given) =>
              given.length === 0 ? '' : made.decode([...given], { clean_up_tokenization_spaces: false }).trim(),
            added: new Map(parts.added.map((name) => [name, ids.get(name) ?? 0])),
            adding: (more) => {
              const known = more.find((word, i) => ids.has(word) || more.indexOf(word) < i)
              return known === undefined
                ? tokenizerOf({
                    ...parts,
                    tokens: [...tokens, ...more.map((word, i) => addedToken(size + i, word))],
                    added: [...parts.added, ...more],
                  })
                : fail('data', at, 'words that are no tokens yet', JSON.stringify(known), 'give it another name')
            },
          }),
        ),
      )
    }),
  )
