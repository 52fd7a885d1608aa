import { type Checked, collect, fail } from '../error.ts'
import { toLayout } from '../io/key-map.ts'
import type { UnwrittenArray, UnwrittenArrays, WrittenDtype } from '../io/safetensors-writer.ts'
import type { StoredArray, UnreadArray, UnreadArrays } from '../io/stored.ts'
import { keysAt, type Layout, type Place } from '../nn/layout.ts'
import { E, pipe, TE } from '../prelude.ts'

/** Arrays of our networks as those of files in another's layout, each read when it is written. */

const dtypes: Readonly<Record<string, WrittenDtype>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F64: 'float64',
}

interface Part {
  readonly name: string
  readonly place: Place
  readonly array: UnreadArray
}

/** The shape of the array that holds these. */
const shapeOf = (parts: readonly Part[]): readonly number[] => {
  const [first] = parts
  if (first === undefined) return []
  const { place, array } = first
  if (place.rows !== undefined)
    return [Math.max(...parts.map((part) => part.place.rows?.[1] ?? 0)), ...array.shape.slice(1)]
  return place.transpose === true
    ? array.shape.toReversed()
    : whole(place, place.trailing === undefined ? array.shape : array.shape.slice(0, 2))
}
/** Of one of the arrays that are packed in ours. */
const whole = ({ joined }: Place, shape: readonly number[]): readonly number[] =>
  joined === undefined ? shape : [(shape[0] ?? 0) / joined.keys.length, ...shape.slice(1)]

/** What a part is, written in single precision where a file has it in 16 bits. */
const wide = (array: StoredArray, dtype: WrittenDtype): StoredArray =>
  dtype !== 'float64' && array.dtype === 'float64'
    ? { ...array, dtype: 'float32', data: Float32Array.from(array.data) }
    : array

const written = (
  key: string,
  parts: readonly Part[],
  layout: Layout,
  half: boolean,
): Checked<readonly [string, UnwrittenArray]> => {
  const own = dtypes[parts[0]?.array.dtype ?? '']
  if (own === undefined)
    return fail('file', key, `floating-point numbers: ${Object.keys(dtypes).join(', ')}`, `${parts[0]?.array.dtype}`)
  const dtype = half ? 'float16' : own
  return E.right([
    key,
    {
      dtype,
      shape: shapeOf(parts),
      read: pipe(
        parts,
        TE.traverseSeqArray(({ name, array }) =>
          pipe(
            array.read,
            TE.map((read) => [name, wide(read, dtype)] as const),
          ),
        ),
        TE.flatMapEither((read) => toLayout(layout)(Object.fromEntries(read))),
        TE.flatMapEither((arrays): Checked<StoredArray> => {
          const array = arrays[key]
          return array === undefined ? fail('file', key, 'an array', 'none') : E.right(array)
        }),
      ),
    },
  ])
}

/** Errors (`file`): an array that has no place in the layout, or is of no numbers that are written. */
export const writtenIn = (layout: Layout, found: UnreadArrays, half = false): Checked<UnwrittenArrays> =>
  pipe(
    collect(
      Object.entries(found).map(([name, array]): Checked<Part> => {
        const place = layout(name)
        return place === undefined
          ? fail('file', name, 'a place in that layout', 'none')
          : E.right({ name, place, array })
      }),
    ),
    E.flatMap((parts) => {
      const byKey = new Map<string, readonly Part[]>()
      for (const part of parts) for (const key of keysAt(part.place)) byKey.set(key, [...(byKey.get(key) ?? []), part])
      return collect([...byKey].map(([key, own]) => written(key, own, layout, half)))
    }),
    E.map(Object.fromEntries),
  )
