import { type Checked, collect, fail } from '../error.ts'
import { sameType, showType, size, type TensorType } from '../graph/types.ts'
import { E, pipe } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { Value, Values } from './executor.ts'

export type Types = Readonly<Record<string, TensorType>>

const checkOne = (
  tag: 'run' | 'compile',
  name: string,
  expected: TensorType,
  got: Value | undefined,
): Checked<Value> =>
  got === undefined
    ? fail(tag, name, showType(expected), 'nothing')
    : !sameType(expected, got)
      ? fail(tag, name, showType(expected), showType(got))
      : got.data.length === size(expected.shape)
        ? E.right(got)
        : fail(tag, name, `${size(expected.shape)} numbers for ${showType(expected)}`, `${got.data.length} numbers`)

/** Exactly the arrays that are expected, of the right types. */
export const checkFeeds = (expected: Types, got: Values, tag: 'run' | 'compile' = 'run'): Checked<Values> => {
  const names = Object.keys(expected)
  const unknown = Object.keys(got)
    .filter((name) => !Object.hasOwn(expected, name))
    .map((name) =>
      fail(
        tag,
        name,
        names.length === 0 ? 'nothing' : `one of ${shorten(names)}`,
        'an array by that name',
        didYouMean(name, names),
      ),
    )
  return pipe(
    collect<unknown>([
      ...unknown,
      ...Object.entries(expected).map(([name, type]) =>
        checkOne(tag, name, type, Object.hasOwn(got, name) ? got[name] : undefined),
      ),
    ]),
    E.map(() => got),
  )
}
const shorten = (names: readonly string[]): string =>
  names.length > 8 ? `${names.slice(0, 8).join(', ')}, ... (${names.length})` : names.join(', ')
