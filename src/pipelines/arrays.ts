import { type Checked, collect, fail } from '../error.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import { fromLayout } from '../io/key-map.ts'
import type { StoredArray, UnreadArray, UnreadArrays } from '../io/stored.ts'
import type { Layout, Place } from '../nn/layout.ts'
import { E, pipe, TE } from '../prelude.ts'

/** The arrays of a file as those of our networks, before any of them is read. */

/** The shape that an array has once it is taken out of its place. */
const shapeIn = ({ rows, transpose = false, matrix = false }: Place, shape: readonly number[]): readonly number[] => {
  const own = rows === undefined ? shape : [rows[1] - rows[0], ...shape.slice(1)]
  return matrix && own.length === 2 ? [...own, 1, 1] : transpose ? own.toReversed() : own
}

/** Where its numbers lie: rows of a matrix are a part of it, a transposed one lies nowhere. */
const lying = (
  { rows, transpose = false }: Place,
  { place, bytes, shape: [count = 1] }: UnreadArray,
): Pick<UnreadArray, 'bytes' | 'place'> => {
  const [first, end] = rows ?? [0, count]
  const row = bytes / count
  return {
    bytes: (end - first) * row,
    ...(transpose || place === undefined
      ? {}
      : { place: { path: place.path, position: place.position + first * row } }),
  }
}

/** An array in its place, taken out when it is read. */
const placed = (name: string, place: Place, found: UnreadArray): UnreadArray => ({
  dtype: found.dtype,
  ...lying(place, found),
  shape: shapeIn(place, found.shape),
  read: pipe(
    found.read,
    TE.flatMapEither(
      (array): Checked<StoredArray> =>
        pipe(
          fromLayout(() => place, [name])({ [place.key]: array }),
          E.flatMap(({ arrays }) => {
            const own = arrays[name]
            return own === undefined ? fail('file', place.key, 'an array', 'none') : E.right(own)
          }),
        ),
    ),
  ),
})

export interface Matched {
  readonly arrays: UnreadArrays
  /** Keys of the file that arrays came from. */
  readonly used: readonly string[]
}

const show = (shape: readonly number[]): string => `[${shape.join(', ')}]`
const mostMissing = 8

/** What a graph has parameters for, out of a file of a layout. Errors (`file`): what is missing, or of another shape. */
export const matched = (graph: Graph, layout: Layout, found: UnreadArrays, at: string): Checked<Matched> => {
  const all = parameters(graph).map(({ name, shape }) => {
    const place = layout(name) ?? { key: name }
    return { name, shape, place, array: Object.hasOwn(found, place.key) ? found[place.key] : undefined }
  })
  const missing = all.filter(({ array }) => array === undefined)
  if (missing.length > 0)
    return fail(
      'file',
      at,
      `arrays for all ${all.length} parameters`,
      `none for ${missing.length}: ${missing
        .slice(0, mostMissing)
        .map(({ place }) => place.key)
        .join(', ')}${missing.length > mostMissing ? ', ...' : ''}`,
    )
  return pipe(
    collect(
      all.map(({ name, shape, place, array }): Checked<readonly [string, UnreadArray]> => {
        if (array === undefined) return fail('file', place.key, 'an array', 'none')
        const own = placed(name, place, array)
        return own.shape.length === shape.length && own.shape.every((d, i) => d === shape[i])
          ? E.right([name, own])
          : fail('file', `${at}: ${place.key}`, show(shape), show(own.shape))
      }),
    ),
    E.map((entries) => ({
      arrays: Object.fromEntries(entries),
      used: all.map(({ place }) => place.key),
    })),
  )
}

/** A layout behind a prefix. */
export const behind =
  (prefix: string, layout: Layout = (name) => ({ key: name })): Layout =>
  (name) => {
    const place = layout(name)
    return place && { ...place, key: prefix + place.key }
  }
