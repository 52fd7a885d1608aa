import { fail } from '../../error.ts'
import { floats, type Value, type Values } from '../../execute/executor.ts'
import { readSafetensors, type TensorFile } from '../../io/safetensors.ts'
import type { StoredArray, StoredArrays } from '../../io/stored.ts'
import { E, pipe, RR, T, TE, t } from '../../prelude.ts'
import type { CaseFile } from '../case.ts'
import { type Area, type Plan, type Prepared, skip } from '../plan.ts'

/** Files to be read or refused; `index.json` says which, and what an accepted one holds. */
const Numbers = t.union([t.number, t.array(t.number)])
const Accept = t.type({ expect: t.literal('accept'), values: t.record(t.string, Numbers) })
const Reject = t.type({ expect: t.literal('reject') })

const flatNumbers = (data: ArrayLike<number | bigint>): Float64Array => Float64Array.from(Array.from(data), Number)
const flatValue = (data: ArrayLike<number | bigint>): Value => floats([data.length], flatNumbers(data))
const stored = (data: readonly number[]): StoredArray => ({
  dtype: 'float64',
  shape: [data.length],
  data: Float64Array.from(data),
})

const prepared = (plan: Plan, expected: StoredArrays = {}): Prepared => ({
  plan,
  subject: 'safetensors',
  expected,
  tolerances: [{ tensor: /./, measure: 'exact', limit: 0 }],
})

/** How many tensors came that nobody expected. */
const surplus = 'surplus'

const contents =
  (names: readonly string[]) =>
  ({ tensors }: TensorFile): Values => ({
    ...pipe(
      tensors,
      RR.map(({ data }: StoredArray): Value => flatValue(Array.from<number | bigint>(data))),
    ),
    [surplus]: flatValue([Object.keys(tensors).filter((name) => !names.includes(name)).length]),
  })

const accepting = (path: string, values: t.TypeOf<typeof Accept>['values']): Prepared => {
  const names = Object.keys(values)
  return prepared(
    {
      kind: 'effect',
      run: () => pipe(readSafetensors(path), TE.map(contents(names))),
    },
    {
      ...Object.fromEntries(Object.entries(values).map(([name, xs]) => [name, stored([xs].flat())])),
      [surplus]: stored([0]),
    },
  )
}

const refusing = (path: string): Prepared =>
  prepared(
    {
      kind: 'effect',
      run: () =>
        pipe(
          readSafetensors(path),
          T.map((read) => E.right({ refused: flatValue([E.isLeft(read) ? 1 : 0]) })),
        ),
    },
    { refused: stored([1]) },
  )

export const checkpoint: Area = ({ file, path, verdict }: CaseFile) => {
  if (!file.endsWith('.safetensors')) return TE.right(prepared(skip('torch checkpoints: later issue')))
  if (Accept.is(verdict)) return TE.right(accepting(path, verdict.values))
  if (Reject.is(verdict)) return TE.right(refusing(path))
  return verdict === undefined
    ? TE.right(prepared(skip('index.json has no verdict')))
    : TE.fromEither(fail('file', path, 'a verdict to accept (with values) or to reject', JSON.stringify(verdict)))
}
