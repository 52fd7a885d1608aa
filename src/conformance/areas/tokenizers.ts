import type { Checked } from '../../error.ts'
import { ints, type Value, type Values } from '../../execute/executor.ts'
import type { StoredArrays } from '../../io/stored.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { flag, integer, list, record, text } from '../../schema.ts'
import { cleanings } from '../../text/cleaning.ts'
import { promptIds } from '../../text/prompt.ts'
import type { Tokenizer } from '../../text/tokenizer.ts'
import { clipTokenizer } from '../../text/tokenizer-files.ts'
import { tokenizerOfOpenAi } from '../../text/vocabularies.ts'
import { adapter, type Plan } from '../plan.ts'

const natural = integer({ min: 0 })
const ids = list(natural)
const tokenized = record({
  text,
  clean: text,
  ftfy_matters: flag,
  ids,
  decoded: text,
  /** Without the zeros behind it. */
  tokenized77: ids,
  too_long: flag,
})
const tokenizerCase = record(
  { vocab_size: natural, start: natural, end: natural, cases: list(tokenized) },
  {},
  /** Of a vocabulary of its own; CLIP's otherwise. */
  { merges: list(text) },
)

/** A list of its own length: lists may be empty. */
const row = (numbers: readonly number[]): Value => ints([numbers.length + 1], Int32Array.of(numbers.length, ...numbers))
const characters = (written: string): Value => row(Array.from(written, (c) => c.codePointAt(0) ?? 0))
const withoutPadding = (padded: readonly number[], end: number): readonly number[] =>
  padded.slice(0, padded.lastIndexOf(end) + 1)

type Entry = (typeof tokenized)['_A']
const expectedOf = (entry: Entry, i: number): Values => ({
  [`clean.${i}`]: characters(entry.clean),
  [`ids.${i}`]: row(entry.ids),
  [`decoded.${i}`]: characters(entry.decoded.replace(/ $/, '')),
  [`tokenized77.${i}`]: row(entry.tokenized77),
  [`tooLong.${i}`]: row([Number(entry.too_long)]),
})
const foundOf =
  (tokenizer: Tokenizer) =>
  (entry: Entry, i: number): Checked<Values> =>
    pipe(
      promptIds(tokenizer, entry.text),
      E.map((prompt) => {
        const found = tokenizer.encode(entry.text)
        return {
          [`clean.${i}`]: characters(cleanings.openai(entry.text)),
          [`ids.${i}`]: row(found),
          [`decoded.${i}`]: characters(tokenizer.decode(found)),
          [`tokenized77.${i}`]: row(withoutPadding(prompt.ids, tokenizer.end)),
          [`tooLong.${i}`]: row([Number(prompt.cut !== undefined)]),
        }
      }),
    )

const merged = (all: readonly Values[]): Values => Object.assign({}, ...all)
const stored = (values: Values): StoredArrays =>
  Object.fromEntries(
    Object.entries(values).map(([name, { shape, data }]) => [
      name,
      { dtype: 'int32' as const, shape, data: Int32Array.from(data) },
    ]),
  )

/** OpenAI's tokenizer: cleaned text, ids, text again, and the row of 77. */
export const simpleTokenizer = adapter(tokenizerCase, ({ vocab_size, start, end, cases, merges }) => {
  const tokenizer =
    merges === undefined ? clipTokenizer() : TE.fromEither(tokenizerOfOpenAi(['#version', ...merges].join('\n')))
  const facts = { facts: row([vocab_size, start, end]) }
  const plan: Plan = {
    kind: 'effect',
    expected: stored(merged([facts, ...cases.map(expectedOf)])),
    run: () =>
      pipe(
        tokenizer,
        TE.flatMapEither((found) =>
          pipe(
            cases,
            E.traverseArrayWithIndex((i, entry) => foundOf(found)(entry, i)),
            E.map((all) => merged([{ facts: row([found.size, found.start ?? -1, found.end]) }, ...all])),
          ),
        ),
      ),
    tolerances: [{ tensor: /^/, measure: 'exact', limit: 0 }],
  }
  return E.right(plan)
})
