import { type Checked, fail } from '../error.ts'
import { E, pipe, t } from '../prelude.ts'
import type { Cleaning } from './cleaning.ts'
import { type AddedToken, addedToken, type SpecialTokens, type Tokenizer, tokenizerOf } from './tokenizer.ts'

/** The forms in which people have tokenizers, from what is in their files. */

/** JSON of the files that lie beside a vocabulary; all of them may be missing. */
export interface BesideVocabulary {
  /** `tokenizer_config.json` */
  readonly config?: unknown
  /** `special_tokens_map.json` */
  readonly specialTokens?: unknown
  /** `added_tokens.json` */
  readonly addedTokens?: unknown
  /** Tokens of one text, where the files do not say it or the encoder has fewer. */
  readonly positions?: number
  /** The token behind the end, where it is not the one that the files say. */
  readonly pad?: string
  /** What is done to a text first, where it is not what belongs to such files. */
  readonly cleaning?: Cleaning
  /** The folder or file that errors name. */
  readonly at?: string
}

const Fields = t.record(t.string, t.unknown)
const Content = t.type({ content: t.string })
const Numbered = t.record(t.string, t.number)
const fieldsOf = (u: unknown): Readonly<Record<string, unknown>> => (Fields.is(u) ? u : {})
const wordOf = (u: unknown): string | undefined => (typeof u === 'string' ? u : Content.is(u) ? u.content : undefined)

/** What a family of tokenizers has where its files leave it open. */
interface Family {
  readonly special: SpecialTokens
  /** The fields that name its special tokens. */
  readonly fields: { readonly start: string; readonly end: string }
  readonly positions: number
}
const [clipStart, clipEnd] = ['<|startoftext|>', '<|endoftext|>']
const families = {
  BPE: {
    special: { start: clipStart, end: clipEnd, pad: clipEnd },
    fields: { start: 'bos_token', end: 'eos_token' },
    positions: 77,
  },
  WordPiece: {
    special: { start: '[CLS]', end: '[SEP]', pad: '[PAD]' },
    fields: { start: 'cls_token', end: 'sep_token' },
    positions: 512,
  },
  Unigram: {
    special: { start: null, end: '</s>', pad: '<pad>' },
    fields: { start: 'bos_token', end: 'eos_token' },
    positions: 512,
  },
} as const satisfies Readonly<Record<string, Family>>

/** Files that know no limit write a huge number. */
const longest = 1e6
const positionsOf = ({ config, positions }: BesideVocabulary, family: Family): number => {
  const said = fieldsOf(config).model_max_length
  return positions ?? (typeof said === 'number' && said < longest ? said : family.positions)
}
const specialOf = ({ config, specialTokens, pad }: BesideVocabulary, { special, fields }: Family): SpecialTokens => {
  const [own, beside] = [fieldsOf(config), fieldsOf(specialTokens)]
  const said = (field: string): string | undefined => wordOf(own[field]) ?? wordOf(beside[field])
  return {
    start: special.start === null ? null : (said(fields.start) ?? special.start),
    end: said(fields.end) ?? special.end,
    pad: pad ?? said('pad_token') ?? special.pad,
  }
}

const Decoder = t.record(t.string, t.intersection([Content, t.partial({ special: t.boolean, normalized: t.boolean })]))
/** Tokens that stand beside the vocabulary: `added_tokens.json`, and `added_tokens_decoder` of the configuration. */
const addedBeside = ({ config, addedTokens }: BesideVocabulary): readonly AddedToken[] => {
  const decoder = fieldsOf(config).added_tokens_decoder
  const decoded = Decoder.is(decoder)
    ? Object.entries(decoder).map(([id, { content, ...how }]) => addedToken(Number(id), content, how))
    : []
  const named = Numbered.is(addedTokens)
    ? Object.entries(addedTokens).map(([content, id]) => addedToken(id, content))
    : []
  return [...decoded, ...named.filter(({ content }) => decoded.every((d) => d.content !== content))]
}

const AddedTokens = t.readonlyArray(
  t.intersection([
    t.type({ id: t.number, content: t.string }),
    t.partial({
      special: t.boolean,
      normalized: t.boolean,
      single_word: t.boolean,
      lstrip: t.boolean,
      rstrip: t.boolean,
    }),
  ]),
)
const TokenizerDocument = t.intersection([
  t.type({ model: t.type({ type: t.keyof({ BPE: null, WordPiece: null, Unigram: null }) }) }),
  t.partial({ added_tokens: AddedTokens }),
  Fields,
])

/** The tokenizer of a `tokenizer.json`. Nothing is done to a text but what the document says. */
export const tokenizerOfJson = (document: unknown, beside: BesideVocabulary = {}): Checked<Tokenizer> => {
  const at = beside.at ?? 'tokenizer.json'
  if (!TokenizerDocument.is(document))
    return fail('file', at, 'an object with "model" of type BPE, WordPiece or Unigram', shown(document))
  const family = families[document.model.type]
  const own = (document.added_tokens ?? []).map(({ id, content, ...how }) => ({ ...addedToken(id, content), ...how }))
  return tokenizerOf({
    document,
    config: fieldsOf(beside.config),
    tokens: [...own, ...addedBeside(beside).filter(({ content }) => own.every((a) => a.content !== content))],
    added: [],
    special: specialOf(beside, family),
    positions: positionsOf(beside, family),
    cleaning: beside.cleaning ?? 'none',
    at,
  })
}
const shown = (u: unknown): string => (JSON.stringify(u) ?? 'nothing').slice(0, 80)

const words = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
/** What transformers makes of `vocab.json` and `merges.txt` of a CLIPTokenizer. */
const clipDocument = (vocab: Readonly<Record<string, number>>, merges: readonly (readonly string[])[]) => ({
  version: '1.0',
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'NFC' },
      { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
      { type: 'Lowercase' },
    ],
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: words }, behavior: 'Removed', invert: true },
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
    ],
  },
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
  post_processor: null,
  model: {
    type: 'BPE',
    unk_token: clipEnd,
    continuing_subword_prefix: '',
    end_of_word_suffix: '</w>',
    fuse_unk: false,
    vocab,
    merges,
  },
})

const pairs = (lines: readonly string[], at: string): Checked<readonly (readonly string[])[]> => {
  const merges = lines.map((line) => line.split(' '))
  const wrong = merges.findIndex((pair) => pair.length !== 2)
  return wrong < 0
    ? E.right(merges)
    : fail('file', at, 'two parts in each line of merges', JSON.stringify(lines[wrong] ?? ''))
}
const linesOf = (text: string): readonly string[] => text.trim().split(/\r?\n/)

const clipOf = (
  vocab: Readonly<Record<string, number>>,
  merges: readonly (readonly string[])[],
  beside: BesideVocabulary,
  fallback: { readonly cleaning: Cleaning; readonly special?: SpecialTokens; readonly at: string },
): Checked<Tokenizer> => {
  const special = fallback.special ?? specialOf(beside, families.BPE)
  const meant = [special.start, special.end].flatMap((name) => {
    const id = name === null ? undefined : vocab[name]
    return name === null || id === undefined ? [] : [addedToken(id, name, { special: true })]
  })
  return tokenizerOf({
    document: clipDocument(vocab, merges),
    config: fieldsOf(beside.config),
    tokens: [...meant, ...addedBeside(beside).filter(({ content }) => meant.every((m) => m.content !== content))],
    added: [],
    special,
    positions: positionsOf(beside, families.BPE),
    cleaning: beside.cleaning ?? fallback.cleaning,
    at: beside.at ?? fallback.at,
  })
}

/** The tokenizer of `vocab.json` and `merges.txt`: the slow CLIPTokenizer, which mends texts first. */
export const tokenizerOfMerges = (
  vocab: unknown,
  merges: string,
  beside: BesideVocabulary = {},
): Checked<Tokenizer> => {
  const at = beside.at ?? 'vocab.json'
  return Numbered.is(vocab)
    ? pipe(
        pairs(
          linesOf(merges).filter((line, i) => i > 0 || !line.startsWith('#version')),
          beside.at ?? 'merges.txt',
        ),
        E.flatMap((rows) => clipOf(vocab, rows, beside, { cleaning: 'transformers', at })),
      )
    : fail('file', at, 'an object of numbers by token', shown(vocab))
}

/** The 256 bytes as characters that can be seen, in the order of CLIP's vocabulary (`bytes_to_unicode` of clip/simple_tokenizer.py). */
const byteCharacters = (): readonly string[] => {
  const span = (from: string, to: string): readonly number[] =>
    Array.from({ length: to.charCodeAt(0) - from.charCodeAt(0) + 1 }, (_, i) => from.charCodeAt(0) + i)
  const seen = [...span('!', '~'), ...span('¡', '¬'), ...span('®', 'ÿ')]
  return [...seen, ...Array.from({ length: 256 - seen.length }, (_, i) => 256 + i)].map((c) => String.fromCharCode(c))
}
/** Merges of the file that are used. */
const openAiMerges = 49152 - 256 - 2

/** The lines of `bpe_simple_vocab_16e6.txt` that are merges, and all tokens in their order. */
export const openAiVocabulary = (
  text: string,
): { readonly merges: readonly string[]; readonly tokens: readonly string[] } => {
  const merges = linesOf(text).slice(1, openAiMerges + 1)
  const bytes = byteCharacters()
  return {
    merges,
    tokens: [
      ...bytes,
      ...bytes.map((b) => `${b}</w>`),
      ...merges.map((line) => line.split(' ').join('')),
      clipStart,
      clipEnd,
    ],
  }
}

/**
 * OpenAI's tokenizer from the text of `bpe_simple_vocab_16e6.txt`, or from any list of merges behind a first line. It mends texts and
 * pads with its token 0.
 */
export const tokenizerOfOpenAi = (text: string, beside: BesideVocabulary = {}): Checked<Tokenizer> => {
  const at = beside.at ?? 'bpe_simple_vocab_16e6.txt'
  const { merges: lines, tokens } = openAiVocabulary(text)
  return pipe(
    pairs(lines, at),
    E.flatMap((merges) => {
      const special = { start: clipStart, end: clipEnd, pad: beside.pad ?? tokens[0] ?? clipEnd }
      const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))
      return clipOf(vocab, merges, beside, { cleaning: 'openai', special, at })
    }),
  )
}

/**
 * CLIP's vocabulary as the files that transformers' CLIPTokenizer reads. `pad` is the token that texts are filled up with, the first
 * where null.
 */
export const clipTokenizerFiles = (text: string, pad: string | null): Readonly<Record<string, string>> => {
  const { merges, tokens } = openAiVocabulary(text)
  const special = {
    bos_token: clipStart,
    eos_token: clipEnd,
    unk_token: clipEnd,
    pad_token: pad ?? tokens[0] ?? clipEnd,
  }
  const json = (document: unknown): string => `${JSON.stringify(document, null, 2)}\n`
  return {
    'vocab.json': JSON.stringify(Object.fromEntries(tokens.map((token, id) => [token, id]))),
    'merges.txt': `#version: 0.2\n${merges.join('\n')}\n`,
    'special_tokens_map.json': json(special),
    'tokenizer_config.json': json({
      tokenizer_class: 'CLIPTokenizer',
      model_max_length: 77,
      do_lower_case: true,
      add_prefix_space: false,
      errors: 'replace',
      ...special,
    }),
  }
}

/** BERT's tokenizer from `vocab.txt`, one token a line. */
export const tokenizerOfBert = (text: string, beside: BesideVocabulary = {}): Checked<Tokenizer> => {
  const at = beside.at ?? 'vocab.txt'
  const tokens = text.replace(/\r?\n$/, '').split(/\r?\n/)
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))
  const lowercase = fieldsOf(beside.config).do_lower_case !== false
  const family = families.WordPiece
  const special = specialOf(beside, family)
  const meant = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].flatMap((name) => {
    const id = vocab[name]
    return id === undefined ? [] : [addedToken(id, name, { special: true, normalized: false })]
  })
  return tokenizerOf({
    document: {
      version: '1.0',
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: null,
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab,
      },
    },
    config: fieldsOf(beside.config),
    tokens: [...meant, ...addedBeside(beside).filter(({ content }) => meant.every((m) => m.content !== content))],
    added: [],
    special,
    positions: positionsOf(beside, family),
    cleaning: beside.cleaning ?? 'none',
    at,
  })
}
