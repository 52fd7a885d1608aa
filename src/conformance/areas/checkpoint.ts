import { dirname, join } from 'node:path'
import { type Effect, fail } from '../../error.ts'
import { floats, type Value, type Values } from '../../execute/executor.ts'
import { readCheckpointFile } from '../../io/checkpoint-file.ts'
import { readSafetensors } from '../../io/safetensors-file.ts'
import type { StoredArray, StoredArrays } from '../../io/stored.ts'
import { E, pipe, T, TE, t } from '../../prelude.ts'
import type { CaseFile } from '../case.ts'
import { type Area, type Plan, type Prepared, skip } from '../plan.ts'

/** Files to be read or refused; `index.json` says which, and what an accepted one holds. */
const Numbers = t.union([t.number, t.array(t.number)])
const WithValues = t.type({ expect: t.literal('accept'), values: t.record(t.string, Numbers) })
const WithFile = t.type({ expect: t.literal('accept'), expected_file: t.string })
const Reject = t.type({ expect: t.literal('reject') })
/** Compressed files need not be read, but one that is must be read right. */
const Either = t.intersection([
  t.type({ expect: t.literal('inflate or reject') }),
  t.partial({ expected_file: t.string }),
])

const numbers = (data: readonly number[]): StoredArray => ({
  dtype: 'float64',
  shape: [data.length],
  data: Float64Array.from(data),
})
const one = floats([1], Float64Array.of(1))

const prepared = (plan: Plan, expected: StoredArrays = {}): Prepared => ({
  plan,
  subject: 'checkpoint',
  expected,
  tolerances: [{ tensor: /^/, measure: 'exact', limit: 0 }],
})

/** How many tensors came that nobody expected. */
const surplus = 'surplus'
const surplusOf = (found: StoredArrays, names: readonly string[]): Value =>
  floats([1], Float64Array.of(Object.keys(found).filter((name) => !names.includes(name)).length))

const flatNumbers = ({ data }: StoredArray): Value =>
  floats([data.length], Float64Array.from<number | bigint>(data, Number))

const holding = (path: string, values: t.TypeOf<typeof WithValues>['values']): Prepared =>
  prepared(
    {
      kind: 'effect',
      run: () =>
        pipe(
          readCheckpointFile(path),
          TE.map(
            (found): Values => ({
              ...Object.fromEntries(Object.entries(found).map(([name, array]) => [name, flatNumbers(array)])),
              [surplus]: surplusOf(found, Object.keys(values)),
            }),
          ),
        ),
    },
    {
      ...Object.fromEntries(Object.entries(values).map(([name, xs]) => [name, numbers([xs].flat())])),
      [surplus]: numbers([0]),
    },
  )

type Bits = Extract<StoredArray, { readonly dtype: 'int32' }>
/** The bytes of an array, under a name that tells its type: equal where bits, shape and type are. */
const bitsOf = ([name, { dtype, shape, data }]: readonly [string, StoredArray]): readonly [string, Bits] => [
  `${name}: ${dtype}`,
  {
    dtype: 'int32',
    shape: [...shape, data.BYTES_PER_ELEMENT],
    data: Int32Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  },
]

/** The expected file names its tensors `out.<name>`. */
const expectedOf = (path: string, file: string): Effect<StoredArrays> =>
  pipe(
    readSafetensors(join(dirname(path), file)),
    TE.map(({ tensors }) =>
      Object.fromEntries(Object.entries(tensors).map(([name, array]) => [name.replace(/^out\./, ''), array])),
    ),
  )

const matching = (path: string, file: string, mayRefuse: boolean): Effect<Prepared> =>
  pipe(
    expectedOf(path, file),
    TE.flatMap((expected) => {
      const run = pipe(
        readCheckpointFile(path),
        TE.map(
          (found): Values => ({
            ...Object.fromEntries(Object.entries(found).map(bitsOf)),
            [surplus]: surplusOf(found, Object.keys(expected)),
          }),
        ),
      )
      const accepted = prepared(
        { kind: 'effect', run: () => run },
        { ...Object.fromEntries(Object.entries(expected).map(bitsOf)), [surplus]: numbers([0]) },
      )
      return mayRefuse
        ? pipe(
            run,
            T.map((found) => E.right(E.isLeft(found) ? refusing(path) : accepted)),
          )
        : TE.right(accepted)
    }),
  )

const refusing = (path: string): Prepared =>
  prepared(
    {
      kind: 'effect',
      run: () =>
        pipe(
          readCheckpointFile(path),
          T.map((read) => E.right({ refused: E.isLeft(read) ? one : floats([1], Float64Array.of(0)) })),
        ),
    },
    { refused: numbers([1]) },
  )

const answering = (path: string): Prepared =>
  prepared(
    {
      kind: 'effect',
      run: () =>
        pipe(
          readCheckpointFile(path),
          T.map(() => E.right({ answered: one })),
        ),
    },
    { answered: numbers([1]) },
  )

export const checkpoint: Area = ({ path, verdict }: CaseFile) => {
  if (WithFile.is(verdict)) return matching(path, verdict.expected_file, false)
  if (WithValues.is(verdict)) return TE.right(holding(path, verdict.values))
  if (Reject.is(verdict)) return TE.right(refusing(path))
  if (Either.is(verdict))
    return verdict.expected_file === undefined ? TE.right(answering(path)) : matching(path, verdict.expected_file, true)
  return verdict === undefined
    ? TE.right(prepared(skip('index.json has no verdict')))
    : TE.fromEither(fail('file', path, 'a verdict to accept (with values) or to reject', JSON.stringify(verdict)))
}
