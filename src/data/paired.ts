import { join } from 'node:path'
import { type Checked, fail } from '../error.ts'
import { sha256 } from '../io/bytes.ts'
import { E, pipe, TE } from '../prelude.ts'
import type { About, Batch, Dataset, Found } from './dataset.ts'
import { collectFew, several, suchAs } from './left-out.ts'

/** Pictures with others that a folder has under the same names. */

/** What the others are, for people. */
export interface Pairing {
  readonly dir: string
  /** `label map` */
  readonly what: string
  /** What a batch has of them, [n, channels, height, width]. */
  readonly put: (others: Float32Array) => Pick<Batch, 'maps' | 'hints'>
}

/** What a picture and its other have in common: the path without the kind of file. */
const stem = (name: string): string => name.replace(/\.[^./]+$/, '')

const stemsOf = ({ dir, what }: Pairing, others: Dataset): Checked<ReadonlyMap<string, number>> => {
  const places = new Map<string, number>()
  const all = Array.from({ length: others.n }, (_, i) => others.about(i).name)
  for (const [i, name] of all.entries()) if (!places.has(stem(name))) places.set(stem(name), i)
  return pipe(
    collectFew(
      all.map((name, i): Checked<string> => {
        const first = all[places.get(stem(name)) ?? i] ?? name
        return first === name ? E.right(name) : fail('data', join(dir, name), `one ${what} of ${stem(name)}`, first)
      }),
    ),
    E.map(() => places),
  )
}

/** Which other is whose. */
const otherOf = (
  { dir, what }: Pairing,
  pictures: Dataset,
  places: ReadonlyMap<string, number>,
): Checked<readonly number[]> =>
  collectFew(
    Array.from({ length: pictures.n }, (_, i): Checked<number> => {
      const { name } = pictures.about(i)
      const index = places.get(stem(name))
      return index === undefined
        ? fail('data', join(dir, stem(name)), `the ${what} of ${name}`, 'no such file')
        : E.right(index)
    }),
  )

const unusedNotes = ({ what }: Pairing, others: Dataset, used: ReadonlySet<number>): readonly string[] => {
  const unused = Array.from({ length: others.n }, (_, i) => i).filter((i) => !used.has(i))
  return unused.length === 0
    ? []
    : [`${several(unused.length, what)} without a picture${suchAs(unused.map((i) => others.about(i).name))}`]
}

const both = (picture: About, other: About): About => ({
  ...picture,
  bytes: picture.bytes + other.bytes,
  sha256: sha256(picture.sha256 + other.sha256),
})

const joined = (pairing: Pairing, pictures: Dataset, others: Dataset): Checked<Dataset> =>
  pipe(
    stemsOf(pairing, others),
    E.flatMap((places) => otherOf(pairing, pictures, places)),
    E.map((of) => ({
      ...pictures,
      about: (i) => both(pictures.about(i), others.about(of[i] ?? -1)),
      read: (indices) =>
        pipe(
          TE.Do,
          TE.bind('batch', () => pictures.read(indices)),
          TE.bind('other', () => others.read(Int32Array.from(indices, (i) => of[i] ?? -1))),
          TE.map(({ batch, other }) => ({ ...batch, ...pairing.put(other.pictures) })),
        ),
      notes: [...pictures.notes, ...others.notes, ...unusedNotes(pairing, others, new Set(of))],
    })),
  )

/** Pictures with the others that were found. Errors: `data`, a picture without one, or with two. */
export const paired =
  (pairing: Pairing, others: Found) =>
  (pictures: Found): Found => ({
    ...pictures,
    bytes: pictures.bytes + others.bytes,
    load: pipe(
      TE.Do,
      TE.bind('pictures', () => pictures.load),
      TE.bind('others', () => others.load),
      TE.flatMapEither((loaded) => joined(pairing, loaded.pictures, loaded.others)),
    ),
  })
