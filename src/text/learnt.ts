import { type Checked, fail } from '../error.ts'
import { E, pipe, t } from '../prelude.ts'
import { type Spelling, type TextReader, textRow } from './prompt.ts'
import type { Tokenizer } from './tokenizer.ts'
import { tokenizerOfJson } from './vocabularies.ts'

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

/** Lower case letter by letter without accents, as the normaliser of BERT has it, and marks as words of their own. */
const split = (caption: string): readonly string[] =>
  caption
    .normalize('NFD')
    .replace(/\p{Mn}/gu, '')
    .replaceAll('Σ', 'σ')
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

/** How texts are framed, for programs that do it by the document. */
const framing = () => {
  const [start, end] = [specialWords[specials.start], specialWords[specials.end]]
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } })
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } })
  const known = (id: number) => ({ id: specialWords[id], ids: [id], tokens: [specialWords[id]] })
  return {
    type: 'TemplateProcessing',
    single: [special(start), text('A'), special(end)],
    pair: [special(start), text('A'), special(end), text('B'), special(end)],
    special_tokens: { [start]: known(specials.start), [end]: known(specials.end) },
  }
}

/** `tokenizer.json`, in the format of Hugging Face's tokenizers. */
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
  post_processor: framing(),
  decoder: { type: 'WordPiece', prefix: continued, cleanup: true },
  model: {
    type: 'WordPiece',
    unk_token: specialWords[specials.unknown],
    continuing_subword_prefix: continued,
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
})
/** `tokenizer_config.json`. */
const configuration = (positions: number) => ({
  tokenizer_class: 'PreTrainedTokenizerFast',
  model_max_length: positions,
  cls_token: specialWords[specials.start],
  sep_token: specialWords[specials.end],
  pad_token: specialWords[specials.pad],
  unk_token: specialWords[specials.unknown],
})

/** The tokenizer of words, for texts of so many positions. Errors (`file`): words of which none are special. */
export const wordsTokenizer = (words: Words, positions: number): Checked<Tokenizer> =>
  tokenizerOfJson(document(words), { config: configuration(positions), at: 'words.json' })

/** Its files, by their names, as other programs read them. */
export const wordsFiles = (words: Words, positions: number): Readonly<Record<string, string>> => ({
  'tokenizer.json': JSON.stringify(document(words)),
  'tokenizer_config.json': JSON.stringify(configuration(positions)),
})

const spellingBy =
  ({ encode }: Tokenizer) =>
  (text: string): Spelling => {
    const own = [...new Set(split(text))].map((word) => ({ word, ids: encode(word) }))
    const unknown = own.filter(({ ids }) => ids.includes(specials.unknown))
    return {
      spelled: own.filter((w) => w.ids.length > 1 && !unknown.includes(w)).map(({ word }) => word),
      unknown: unknown.map(({ word }) => word),
    }
  }

/** How a model reads texts by its own words. Errors (`file`): words of which none are special. */
export const wordsReader = (words: Words, positions: number): Checked<TextReader> =>
  pipe(
    wordsTokenizer(words, positions),
    E.map((tokenizer) => ({ row: (text) => textRow(tokenizer, text), spelling: spellingBy(tokenizer) })),
  )

const Document = t.type({ words: t.readonlyArray(t.string) })
/** As `Words` are written. Errors: `file`. */
export const parseWords = (value: unknown, path: string): Checked<Words> =>
  Document.is(value) && specialWords.every((word, id) => value.words[id] === word)
    ? E.right({ words: value.words })
    : fail('file', path, 'the words of a run, as training writes them', 'another document')
