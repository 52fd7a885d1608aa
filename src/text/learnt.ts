import { Tokenizer as Encoder } from '@huggingface/tokenizers'
import { type Checked, fail } from '../error.ts'
import { E, t } from '../prelude.ts'

/** Tokens that are learnt from captions: whole words as far as there is room, everything else by its letters (WordPiece). */

/** In this order from 0, so that networks know them whatever the words are. */
export const specials = { pad: 0, unknown: 1, start: 2, end: 3 } as const
const specialWords = ['[PAD]', '[UNK]', '[START]', '[END]'] as const
const continued = '##'
const letters = [...'abcdefghijklmnopqrstuvwxyz0123456789']
const marks = [...`!"#$%&'()*+,-./:;<=>?@[\\]^_{|}~`]

/** How many tokens there are before the first word: what is special, letters at a word's beginning and in it, marks. */
export const leastVocabulary = specialWords.length + 2 * letters.length + marks.length

/** A `tokenizer.json` as far as it is ours: the words in the order of their ids. */
export interface Words {
  readonly words: readonly string[]
}

/** Lower case without accents, as the normaliser of BERT has it, and marks as words of their own. */
const split = (caption: string): readonly string[] =>
  caption
    .normalize('NFD')
    .replace(/\p{Mn}/gu, '')
    .toLowerCase()
    .match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? []

/** The words of captions, the most frequent first, as many as `vocabulary` has room for. */
export const learnWords = (captions: readonly string[], vocabulary: number): Words => {
  const counts = new Map<string, number>()
  for (const word of captions.flatMap(split)) counts.set(word, (counts.get(word) ?? 0) + 1)
  const basic = [...specialWords, ...letters, ...letters.map((letter) => continued + letter), ...marks]
  const known = new Set(basic)
  const words = [...counts]
    .filter(([word]) => !known.has(word))
    .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
    .map(([word]) => word)
  return { words: [...basic, ...words].slice(0, vocabulary) }
}

/** In the format of Hugging Face's tokenizers. */
const document = ({ words }: Words) => ({
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: true,
    lowercase: true,
  },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: null,
  decoder: { type: 'WordPiece', prefix: continued, cleanup: true },
  model: {
    type: 'WordPiece',
    unk_token: specialWords[specials.unknown],
    continuing_subword_prefix: continued,
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
})

/** A text as a network takes it. */
export interface Encoded {
  /** So many tokens as there are positions: the start, the text, the end, then padding. */
  readonly ids: readonly number[]
  /** Words that are told by their letters, and such as are not told at all. */
  readonly spelled: readonly string[]
  readonly unknown: readonly string[]
  /** What did not fit. */
  readonly cut: string
}

export type Tokens = (text: string) => Encoded

/** An encoder of texts into so many positions. */
export const tokensBy = (words: Words, positions: number): Tokens => {
  const encoder = new Encoder(document(words), {})
  const idsOf = (text: string): readonly number[] => encoder.encode(text).ids
  return (text) => {
    const ids = idsOf(text)
    const room = positions - 2
    const own = split(text).map((word) => ({ word, ids: idsOf(word) }))
    const kept = ids.slice(0, room)
    return {
      ids: [specials.start, ...kept, specials.end, ...Array.from({ length: room - kept.length }, () => specials.pad)],
      spelled: own.flatMap((w) => (w.ids.length > 1 ? [w.word] : [])),
      unknown: own.flatMap((w) => (w.ids.includes(specials.unknown) ? [w.word] : [])),
      cut: ids.length <= room ? '' : encoder.decode([...ids.slice(room)]),
    }
  }
}

const Document = t.type({ words: t.readonlyArray(t.string) })
/** As `Words` are written. Errors: `file`. */
export const parseWords = (value: unknown, path: string): Checked<Words> =>
  Document.is(value) && specialWords.every((word, id) => value.words[id] === word)
    ? E.right({ words: value.words })
    : fail('file', path, 'the words of a run, as training writes them', 'another document')
