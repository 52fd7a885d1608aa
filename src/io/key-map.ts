import { type Checked, collect, fail } from '../error.ts'
import { showShape } from '../graph/types.ts'
import { type Joined, keysAt, type Layout, type Place, runsOf } from '../nn/layout.ts'
import { E, pipe } from '../prelude.ts'
import { elementsOf, type StoredArray, type StoredArrays } from './stored.ts'

type Floats = Extract<StoredArray, { readonly dtype: 'float32' }>

const isFloats = (array: StoredArray): array is Floats => array.dtype === 'float32'

/** A matrix of so many rows and columns with these exchanged. A loop: `from` of typed arrays takes thirty times as long with a function. */
export const transposedMatrix = (data: Float32Array, rows: number, columns: number): Float32Array => {
  const out = new Float32Array(data.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) out[column * rows + row] = data[row * columns + column] ?? 0
  return out
}
const transposed = ({ shape: [rows = 0, columns = 0], data }: Floats): Floats => ({
  dtype: 'float32',
  shape: [columns, rows],
  data: transposedMatrix(data, rows, columns),
})
const rowsOf = ({ shape, data }: Floats, [from, to]: readonly [number, number]): Floats => {
  const row = elementsOf(shape.slice(1))
  return { dtype: 'float32', shape: [to - from, ...shape.slice(1)], data: data.subarray(from * row, to * row) }
}

/** A matrix as a convolution's weight, and back; files of either kind are taken. */
const asConvolution = <A extends StoredArray>(array: A, trailing: number): A =>
  array.shape.length === 2 ? { ...array, shape: [...array.shape, ...Array.from({ length: trailing }, () => 1)] } : array
const asMatrix = <A extends StoredArray>(array: A): A => ({ ...array, shape: array.shape.slice(0, 2) })

/** Rows of arrays in turn, and back. */
const together = (arrays: readonly Floats[], joined: Joined): Floats => {
  const [first] = arrays
  const [rows = 0, ...rest] = first?.shape ?? []
  const each = first?.data.length ?? 0
  const block = each / joined.runs
  const data = new Float32Array(arrays.length * each)
  runsOf(joined).forEach(([array, run], i) => {
    const own = arrays[array]
    if (own !== undefined) data.set(own.data.subarray(run * block, (run + 1) * block), i * block)
  })
  return { dtype: 'float32', shape: [arrays.length * rows, ...rest], data }
}
const apart = ({ shape: [rows = 0, ...rest], data }: Floats, joined: Joined): readonly Floats[] => {
  const each = data.length / joined.keys.length
  const block = each / joined.runs
  const parts = joined.keys.map(() => new Float32Array(each))
  runsOf(joined).forEach(([array, run], i) => {
    parts[array]?.set(data.subarray(i * block, (i + 1) * block), run * block)
  })
  return parts.map((own) => ({ dtype: 'float32', shape: [rows / joined.keys.length, ...rest], data: own }))
}

/** One of our arrays out of a file's arrays that hold it. */
const taken =
  ({ key, rows, transpose = false, trailing, joined }: Place) =>
  (arrays: readonly StoredArray[]): Checked<StoredArray> => {
    const [found] = arrays
    if (found === undefined) return fail('file', key, 'an array', 'none')
    if (joined !== undefined) {
      const parts = arrays.filter(isFloats)
      const even = parts.every(({ shape }) => shape.join() === parts[0]?.shape.join())
      return parts.length < arrays.length || !even
        ? fail('file', key, `as many floating-point numbers as in ${joined.keys.slice(1).join(' and ')}`, 'others')
        : E.right(asConvolution(together(parts, joined), trailing ?? 0))
    }
    if (rows === undefined && !transpose)
      return E.right(trailing === undefined ? found : asConvolution(found, trailing))
    if (found.dtype !== 'float32') return fail('file', key, 'floating-point numbers', found.dtype)
    const [first = 0] = found.shape
    if (rows !== undefined && first < rows[1]) return fail('file', key, `at least ${rows[1]} rows`, `${first}`)
    if (transpose && found.shape.length !== 2) return fail('file', key, 'a matrix', showShape(found.shape))
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
          const keys = place === undefined ? [] : keysAt(place)
          const missing = keys.find((key) => file[key] === undefined)
          return place === undefined || missing !== undefined
            ? fail('file', missing ?? name, `an array for ${name}`, 'none')
            : pipe(
                keys.flatMap((key) => file[key] ?? []),
                taken(place),
                E.map((array) => [name, array, keys] as const),
              )
        }),
      ),
      E.map((entries) => {
        const used = new Set(entries.flatMap(([, , keys]) => keys))
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
/** Our arrays as a file of that layout holds them. Errors: `file`, where an array has no place or a packed one misses a part. */
export const toLayout =
  (layout: Layout) =>
  (arrays: StoredArrays): Checked<StoredArrays> =>
    pipe(
      collect(
        Object.entries(arrays).map(([name, array]): Checked<readonly (readonly [Place, StoredArray])[]> => {
          const place = layout(name)
          if (place === undefined) return fail('file', name, 'a place in that layout', 'none')
          const turned = place.transpose === true && isFloats(array) ? transposed(array) : array
          const flat = place.trailing === undefined ? turned : asMatrix(turned)
          const { joined } = place
          if (joined === undefined) return E.right([[place, flat]])
          return isFloats(flat)
            ? E.right(apart(flat, joined).map((own, i) => [{ key: joined.keys[i] ?? place.key }, own] as const))
            : fail('file', name, 'floating-point numbers', flat.dtype)
        }),
      ),
      E.map((placed) => placed.flat()),
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
