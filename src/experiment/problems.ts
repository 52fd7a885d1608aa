import { type Checked, failure, type LatentError } from '../error.ts'
import { asArgument } from '../io/names.ts'
import { E } from '../prelude.ts'

/** What a rule between fields of an experiment finds. */
export type Problems = readonly LatentError[]

export const problem = (at: string, expected: string, got: unknown, hint?: string): LatentError =>
  failure('config', at, expected, typeof got === 'string' ? got : JSON.stringify(got), hint)
export const unless = (holds: boolean, ...p: Parameters<typeof problem>): Problems => (holds ? [] : [problem(...p)])

/** Options that make the changes, for hints: what stands at JSON pointers, by these. */
export const setting = (values: Readonly<Record<string, unknown>>): string =>
  Object.entries(values)
    .map(
      ([pointer, value]) =>
        `--set ${asArgument(`${pointer}=${typeof value === 'string' ? value : JSON.stringify(value)}`)}`,
    )
    .join(' ')

/** What rules have found is an error, all of it at once. */
export const refusing = ([first, ...rest]: Problems): Checked<Readonly<Record<never, never>>> =>
  first === undefined ? E.right({}) : E.left([first, ...rest])
