import { type Checked, collect, fail } from '../error.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import { showShape } from '../graph/types.ts'
import { fromLayout } from '../io/key-map.ts'
import type { StoredArray, UnreadArray, UnreadArrays } from '../io/stored.ts'
import { keysAt, type Layout, type Place } from '../nn/layout.ts'
import { E, pipe, TE } from '../prelude.ts'

/** The arrays of a file as those of our networks, before any of them is read. */

/** The shape that an array has once it is taken out of its place. */
const shapeIn = (place: Place, shape: readonly number[]): readonly number[] => {
  const { rows, transpose = false, trailing, joined } = place
  const [first = 0, ...rest] = shape
  const count = rows === undefined ? first * (joined?.keys.length ?? 1) : rows[1] - rows[0]
  const own = shape.length === 0 ? shape : [count, ...rest]
  return trailing !== undefined && own.length === 2
    ? [...own, ...Array.from({ length: trailing }, () => 1)]
    : transpose
      ? own.toReversed()
      : own
}

/** Where its numbers lie: rows of a matrix are a part of it, a transposed or packed one lies nowhere. */
const lying = (
  { rows, transpose = false, joined }: Place,
  { place, bytes, shape: [count = 1] }: UnreadArray,
): Pick<UnreadArray, 'bytes' | 'place'> => {
  const [first, end] = rows ?? [0, count]
  const row = bytes / count
  return {
    bytes: (end - first) * row * (joined?.keys.length ?? 1),
    ...(transpose || joined !== undefined || place === undefined
      ? {}
      : { place: { path: place.path, position: place.position + first * row } }),
  }
}

/** An array in its place, taken out when it is read. */
const placed = (name: string, place: Place, found: UnreadArray, all: UnreadArrays): UnreadArray => ({
  dtype: found.dtype,
  ...lying(place, found),
  shape: shapeIn(place, found.shape),
  read: pipe(
    keysAt(place).flatMap((key) => (all[key] === undefined ? [] : [[key, all[key]] as const])),
    TE.traverseSeqArray(([key, { read }]) =>
      pipe(
        read,
        TE.map((array) => [key, array] as const),
      ),
    ),
    TE.flatMapEither(
      (arrays): Checked<StoredArray> =>
        pipe(
          fromLayout(() => place, [name])(Object.fromEntries(arrays)),
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

const mostMissing = 8

/** What a graph has parameters for, out of a file of a layout. Errors (`file`): what is missing, or of another shape. */
export const matched = (graph: Graph, layout: Layout, found: UnreadArrays, at: string): Checked<Matched> => {
  const all = parameters(graph).map(({ name, shape }) => {
    const place = layout(name) ?? { key: name }
    const absent = keysAt(place).find((key) => !Object.hasOwn(found, key))
    return { name, shape, place, absent, array: absent === undefined ? found[place.key] : undefined }
  })
  const missing = all.filter(({ array }) => array === undefined)
  if (missing.length > 0)
    return fail(
      'file',
      at,
      `arrays for all ${all.length} parameters`,
      `none for ${missing.length}: ${missing
        .slice(0, mostMissing)
        .map(({ place, absent }) => absent ?? place.key)
        .join(', ')}${missing.length > mostMissing ? ', ...' : ''}`,
    )
  return pipe(
    collect(
      all.map(({ name, shape, place, array }): Checked<readonly [string, UnreadArray]> => {
        if (array === undefined) return fail('file', place.key, 'an array', 'none')
        const own = placed(name, place, array, found)
        return own.shape.length === shape.length && own.shape.every((d, i) => d === shape[i])
          ? E.right([name, own])
          : fail('file', `${at}: ${place.key}`, showShape(shape), showShape(own.shape))
      }),
    ),
    E.map((entries) => ({
      arrays: Object.fromEntries(entries),
      used: all.flatMap(({ place }) => keysAt(place)),
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
