import { availableParallelism } from 'node:os'
import { collect, type Effect } from '../error.ts'
import { readBytes, sha256 } from '../io/bytes.ts'
import { decodeCoverage, decodePicture, type ReadPictureOptions } from '../io/images.ts'
import { E, pipe, T, TE } from '../prelude.ts'
import type { FileFacts } from './dataset.ts'

/** How pictures become `[3, size, size]`: size, background, fit, kernel. */
export interface PictureOptions extends ReadPictureOptions {
  /** Whether the pictures' transparency is wanted too. Default no. */
  readonly coverage?: boolean
}

/** Pictures being decoded at a time: enough to hide the waiting for files, few enough to be gentle with memory. */
const inFlight = 2 * availableParallelism()

/** Pictures `[n, 3, size, size]`, where it is wanted how much of each pixel they cover, `[n, size, size]`, and their files. */
export interface Decoded {
  readonly pictures: Float32Array
  readonly coverage?: Float32Array
  readonly files: readonly FileFacts[]
}

/** Runs so many effects at a time, in order. */
const severally = async <A, B>(items: readonly A[], of: (item: A, i: number) => Effect<B>) => {
  const done: Awaited<ReturnType<Effect<B>>>[] = []
  const queue = items.entries()
  const worker = async () => {
    for (const [i, item] of queue) done[i] = await of(item, i)()
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return done
}

/** Reads pictures, all or none. Errors: `file`, one for each unreadable picture. */
export const decodeAll = (paths: readonly string[], options: PictureOptions): Effect<Decoded> => {
  const plane = options.size * options.size
  const pictures = new Float32Array(paths.length * 3 * plane)
  const coverage = options.coverage === true ? new Float32Array(paths.length * plane) : undefined
  const one = (path: string, i: number): Effect<FileFacts> =>
    pipe(
      readBytes(path),
      TE.tap((bytes) =>
        pipe(
          decodePicture(path, bytes, options),
          TE.map((picture) => pictures.set(picture, i * 3 * plane)),
        ),
      ),
      TE.tap((bytes) =>
        coverage === undefined
          ? TE.right(undefined)
          : pipe(
              decodeCoverage(path, bytes, options),
              TE.map((covered) => coverage.set(covered, i * plane)),
            ),
      ),
      TE.map((bytes) => ({ bytes: bytes.length, sha256: sha256(bytes) })),
    )
  return pipe(
    () => severally(paths, one),
    T.map((results) =>
      pipe(
        collect(results),
        E.map((files) => ({ pictures, files, ...(coverage === undefined ? {} : { coverage }) })),
      ),
    ),
  )
}
