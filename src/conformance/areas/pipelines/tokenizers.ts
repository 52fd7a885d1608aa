import { dirname, join } from 'node:path'
import { type Effect, effect, fail } from '../../../error.ts'
import { ints, type Value, type Values } from '../../../execute/executor.ts'
import type { StoredArrays } from '../../../io/stored.ts'
import { E, pipe, TE, t } from '../../../prelude.ts'
import { promptIds } from '../../../text/prompt.ts'
import type { Tokenizer } from '../../../text/tokenizer.ts'
import { readOpenAiTokenizer, readTokenizer, type TokenizerOptions } from '../../../text/tokenizer-files.ts'
import type { CaseFile } from '../../case.ts'
import type { Prepared } from '../../plan.ts'
import { readJson } from './case.ts'

/** Tables of ids: what tokenizers make of texts. */

const Entry = t.intersection([
  t.type({ text: t.string, ids: t.array(t.number) }),
  t.partial({ ids_fast: t.array(t.number), padded_last: t.number, length_with_ends_cut: t.number }),
])
type Entry = t.TypeOf<typeof Entry>
const Table = t.type({ vocabulary: t.string, entries: t.array(Entry) })

const positions = 77
/** A folder from where the pipelines lie, or a file beside the table. */
const tokenizerFor = (file: CaseFile, vocabulary: string, options: TokenizerOptions): Effect<Tokenizer> => {
  const [name = ''] = vocabulary.split(' ')
  const own = { positions, ...options }
  return name.endsWith('.gz')
    ? readOpenAiTokenizer(join(dirname(file.path), name), { pad: '<|endoftext|>', cleaning: 'transformers', ...own })
    : readTokenizer(join(dirname(file.path), '..', '..', name), own)
}

/** A list of its own length: lists may be empty. */
const row = (numbers: readonly number[]): Value => ints([numbers.length + 1], Int32Array.of(numbers.length, ...numbers))
const named = (i: number, name: string, value: Value): Values => ({ [`out.ids.${i}.${name}`]: value })

const expectedOf = (entry: Entry, i: number): Values => ({
  ...named(i, 'all', row(entry.ids)),
  ...(entry.ids_fast === undefined ? {} : named(i, 'fast', row(entry.ids_fast))),
  ...(entry.padded_last === undefined ? {} : named(i, 'last', row([entry.padded_last]))),
  ...(entry.length_with_ends_cut === undefined ? {} : named(i, 'length', row([entry.length_with_ends_cut]))),
})

const foundOf = (tokenizer: Tokenizer, fast: Tokenizer, entry: Entry, i: number): Effect<Values> =>
  pipe(
    promptIds(tokenizer, entry.text, positions),
    E.map(({ ids }) => {
      const own = tokenizer.encode(entry.text)
      const whole = entry.ids.length === positions && entry.padded_last === undefined
      return {
        ...named(i, 'all', row(whole ? ids : own)),
        ...named(i, 'fast', row(fast.encode(entry.text))),
        ...named(i, 'last', row(ids.slice(-1))),
        ...named(i, 'length', row([Math.min(own.length + 2, positions)])),
      }
    }),
    TE.fromEither,
  )

const stored = (values: Values): StoredArrays =>
  Object.fromEntries(
    Object.entries(values).map(([name, { shape, data }]) => [
      name,
      { dtype: 'int32' as const, shape, data: Int32Array.from(data) },
    ]),
  )

/** A table of a tokenizer's ids as a case. */
export const tokenizerCase = (file: CaseFile): Effect<Prepared> =>
  effect(async (run) => {
    const table = await run(readJson(file.path))
    if (!Table.is(table)) return run(TE.fromEither(fail('file', file.path, 'a vocabulary and entries', 'another')))
    const { vocabulary, entries } = table
    return {
      subject: 'tokenizer',
      expected: stored(Object.assign({}, ...entries.map(expectedOf))),
      tolerances: [{ tensor: /^out\.ids/, measure: 'exact', limit: 0 }],
      plan: {
        kind: 'effect',
        run: () =>
          effect(async (go) => {
            const tokenizer = await go(tokenizerFor(file, vocabulary, {}))
            const fast = await go(tokenizerFor(file, vocabulary, { cleaning: 'none' }))
            const all = await go(
              pipe(
                entries,
                TE.traverseSeqArrayWithIndex((i, entry) => foundOf(tokenizer, fast, entry, i)),
              ),
            )
            return Object.assign({}, ...all)
          }),
      },
    }
  })
