import { type Checked, type Errors, failure, reasonOf } from '../error.ts'
import { E } from '../prelude.ts'

/** A number that overflows to infinity stands for Python's spelling of it; JSON has nothing for NaN. */
const spelled: Readonly<Record<string, string>> = { NaN: 'null', Infinity: '1e999', '-Infinity': '-1e999' }

/** Reads what Python's `json.dumps` writes: JSON, with `NaN`, `Infinity` and `-Infinity` for numbers. */
export const parsePythonJson = (text: string, at: string): Checked<unknown> =>
  E.tryCatch(
    (): unknown => JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (token) => spelled[token] ?? token)),
    (thrown): Errors => [failure('file', at, 'JSON as Python writes it', reasonOf(thrown))],
  )
