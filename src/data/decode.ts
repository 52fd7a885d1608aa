import { availableParallelism } from 'node:os'
import { collect, type Effect } from '../error.ts'
import { type ReadPictureOptions, readCoverage, readPicture } from '../io/images.ts'
import { E, pipe, T, TE } from '../prelude.ts'

/** How pictures become `[3, size, size]`: size, background, fit, kernel. */
export interface PictureOptions extends ReadPictureOptions {
  /** Whether the pictures' transparency is wanted too. Default no. */
  readonly coverage?: boolean
}

/** Pictures being decoded at a time: enough to hide the waiting for files, few enough to be gentle with memory. */
const inFlight = 2 * availableParallelism()

/** Reads files into one array, of so many channels each. Errors: `file`, one for each unreadable picture. */
const readAll = (
  paths: readonly string[],
  options: PictureOptions,
  { read, channels }: { readonly read: typeof readPicture; readonly channels: number },
): Effect<Float32Array> => {
  const values = channels * options.size * options.size
  const pictures = new Float32Array(paths.length * values)
  const queue = paths.entries()
  const decode = ([i, path]: readonly [number, string]): Effect<void> =>
    pipe(
      read(path, options),
      TE.map((picture) => pictures.set(picture, i * values)),
    )
  const worker = async () => {
    const done: Awaited<ReturnType<Effect<void>>>[] = []
    for (const item of queue) done.push(await decode(item)())
    return done
  }
  return pipe(
    () => Promise.all(Array.from({ length: inFlight }, worker)),
    T.map((results) =>
      pipe(
        collect(results.flat()),
        E.map(() => pictures),
      ),
    ),
  )
}

/** Pictures `[n, 3, size, size]`, and where it is wanted how much of each pixel they cover, `[n, size, size]`. */
export interface Decoded {
  readonly pictures: Float32Array
  readonly coverage?: Float32Array
}

/** Reads pictures, all or none. Errors: `file`, one for each unreadable picture. */
export const decodeAll = (paths: readonly string[], options: PictureOptions): Effect<Decoded> =>
  pipe(
    readAll(paths, options, { read: readPicture, channels: 3 }),
    TE.flatMap((pictures) =>
      options.coverage === true
        ? pipe(
            readAll(paths, options, { read: readCoverage, channels: 1 }),
            TE.map((coverage) => ({ pictures, coverage })),
          )
        : TE.right({ pictures }),
    ),
  )
