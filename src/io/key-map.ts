import { type Checked, collect, fail } from '../error.ts'
import type { Layout, Place } from '../nn/layout.ts'
import { E, pipe } from '../prelude.ts'
import { elementsOf, type StoredArray, type StoredArrays } from './stored.ts'

type Floats = Extract<StoredArray, { readonly dtype: 'float32' }>

const transposed = ({ shape: [rows = 0, columns = 0], data }: Floats): Floats => ({
  dtype: 'float32',
  shape: [columns, rows],
  data: Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)] ?? 0),
})
const rowsOf = ({ shape, data }: Floats, [from, to]: readonly [number, number]): Floats => {
  const row = elementsOf(shape.slice(1))
  return { dtype: 'float32', shape: [to - from, ...shape.slice(1)], data: data.subarray(from * row, to * row) }
}

/** A matrix as a 1x1 convolution's weight, and back; files of either kind are taken. */
const asConvolution = (array: StoredArray): StoredArray =>
  array.shape.length === 2 ? { ...array, shape: [...array.shape, 1, 1] } : array
const asMatrix = (array: StoredArray): StoredArray => ({ ...array, shape: array.shape.slice(0, 2) })

/** One of our arrays out of a file's array that holds it. */
const taken =
  ({ key, rows, transpose = false, matrix = false }: Place) =>
  (found: StoredArray): Checked<StoredArray> => {
    if (rows === undefined && !transpose) return E.right(matrix ? asConvolution(found) : found)
    if (found.dtype !== 'float32') return fail('file', key, 'floating-point numbers', found.dtype)
    const [first = 0] = found.shape
    if (rows !== undefined && first < rows[1]) return fail('file', key, `at least ${rows[1]} rows`, `${first}`)
    if (transpose && found.shape.length !== 2) return fail('file', key, 'a matrix', `[${found.shape.join(', ')}]`)
    const part = rows === undefined ? found : rowsOf(found, rows)
    return E.right(transpose ? transposed(part) : part)
  }

export interface FromLayout {
  /** By our names. */
  readonly arrays: StoredArrays
  /** Keys of the file that no array was taken from. */
  readonly left: readonly string[]
}
/** Our arrays, by name, from a file of that layout. Errors: `file`, one for each array that is not in it. */
export const fromLayout =
  (layout: Layout, names: readonly string[]) =>
  (file: StoredArrays): Checked<FromLayout> =>
    pipe(
      collect(
        names.map((name) => {
          const place = layout(name)
          const found = place === undefined ? undefined : file[place.key]
          return place === undefined || found === undefined
            ? fail('file', place?.key ?? name, `an array for ${name}`, 'none')
            : pipe(
                found,
                taken(place),
                E.map((array) => [name, array, place.key] as const),
              )
        }),
      ),
      E.map((entries) => {
        const used = new Set(entries.map(([, , key]) => key))
        return {
          arrays: Object.fromEntries(entries.map(([name, array]) => [name, array])),
          left: Object.keys(file).filter((key) => !used.has(key)),
        }
      }),
    )

const packed = (key: string, parts: readonly (readonly [Place, Floats])[]): Checked<Floats> => {
  const sorted = parts.toSorted(([a], [b]) => (a.rows?.[0] ?? 0) - (b.rows?.[0] ?? 0))
  const ends = sorted.map(([{ rows }]) => rows?.[1] ?? 0)
  const gap = sorted.some(([{ rows }], i) => rows?.[0] !== (ends[i - 1] ?? 0))
  if (gap) return fail('file', key, 'arrays for all of its rows', ends.map((end) => `up to ${end}`).join(', '))
  const [, first] = sorted[0] ?? []
  const data = new Float32Array(sorted.reduce((n, [, a]) => n + a.data.length, 0))
  sorted.reduce((at, [, a]) => {
    data.set(a.data, at)
    return at + a.data.length
  }, 0)
  return E.right({ dtype: 'float32', shape: [ends.at(-1) ?? 0, ...(first?.shape.slice(1) ?? [])], data })
}
const isFloats = (array: StoredArray): array is Floats => array.dtype === 'float32'

/** Our arrays as a file of that layout holds them. Errors: `file`, where an array has no place or a packed one misses a part. */
export const toLayout =
  (layout: Layout) =>
  (arrays: StoredArrays): Checked<StoredArrays> =>
    pipe(
      collect(
        Object.entries(arrays).map(([name, array]): Checked<readonly [Place, StoredArray]> => {
          const place = layout(name)
          if (place === undefined) return fail('file', name, 'a place in that layout', 'none')
          const turned = place.transpose === true && isFloats(array) ? transposed(array) : array
          return E.right([place, place.matrix === true ? asMatrix(turned) : turned])
        }),
      ),
      E.flatMap((placed) => {
        const byKey = new Map<string, (readonly [Place, StoredArray])[]>()
        for (const entry of placed) byKey.set(entry[0].key, [...(byKey.get(entry[0].key) ?? []), entry])
        return collect(
          [...byKey].map(([key, parts]): Checked<readonly [string, StoredArray]> => {
            const [first] = parts
            return first !== undefined && first[0].rows === undefined
              ? E.right([key, first[1]])
              : pipe(
                  packed(
                    key,
                    parts.flatMap(([place, array]) => (isFloats(array) ? [[place, array] as const] : [])),
                  ),
                  E.map((array) => [key, array] as const),
                )
          }),
        )
      }),
      E.map((entries) => Object.fromEntries(entries)),
    )
