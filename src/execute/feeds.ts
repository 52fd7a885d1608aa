import { type Checked, collect, fail } from '../error.ts'
import { isFloat, type Shape, sameType, showType, size, strides, type TensorType } from '../graph/types.ts'
import { E, O, pipe, RR } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { Value, Values } from './executor.ts'

export type Types = Readonly<Record<string, TensorType>>

/** What stands under a name, and not what every object inherits. */
export const own = <A>(xs: Readonly<Record<string, A>>, name: string): A | undefined =>
  pipe(xs, RR.lookup(name), O.toUndefined)

export interface FeedChecks {
  /** What errors are tagged: `run`, or `compile` of constants. */
  readonly tag: 'run' | 'compile'
  /** Whether infinity and what is no number are errors too. */
  readonly finite: boolean
}

const indexOf = (shape: Shape, i: number): string =>
  `[${strides(shape).map((stride, axis) => Math.floor(i / stride) % (shape[axis] ?? 1))}]`
const checkFinite = (tag: FeedChecks['tag'], name: string, got: Value): Checked<Value> => {
  if (!isFloat(got.dtype)) return E.right(got)
  for (let i = 0; i < got.data.length; i++) {
    const x = got.data[i]
    if (!Number.isFinite(x)) return fail(tag, name, 'finite numbers', `${x} at ${indexOf(got.shape, i)}`)
  }
  return E.right(got)
}

const checkOne = (
  { tag, finite }: FeedChecks,
  name: string,
  expected: TensorType,
  got: Value | undefined,
): Checked<Value> =>
  got === undefined
    ? fail(tag, name, showType(expected), 'nothing')
    : !sameType(expected, got)
      ? fail(tag, name, showType(expected), showType(got))
      : got.data.length !== size(expected.shape)
        ? fail(tag, name, `${size(expected.shape)} numbers for ${showType(expected)}`, `${got.data.length} numbers`)
        : finite
          ? checkFinite(tag, name, got)
          : E.right(got)

/** Exactly the arrays that are expected, of the right types; every fault is named. */
export const checkFeeds = (expected: Types, got: Values, checks: FeedChecks): Checked<Values> => {
  const names = Object.keys(expected)
  const unknown = Object.keys(got)
    .filter((name) => !Object.hasOwn(expected, name))
    .map((name) =>
      fail(
        checks.tag,
        name,
        names.length === 0 ? 'nothing' : `one of ${shorten(names)}`,
        'an array by that name',
        didYouMean(name, names),
      ),
    )
  return pipe(
    collect<unknown>([
      ...unknown,
      ...Object.entries(expected).map(([name, type]) => checkOne(checks, name, type, own(got, name))),
    ]),
    E.map(() => got),
  )
}
const shorten = (names: readonly string[]): string =>
  names.length > 8 ? `${names.slice(0, 8).join(', ')}, ... (${names.length})` : names.join(', ')
