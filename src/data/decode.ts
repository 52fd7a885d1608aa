import { availableParallelism } from 'node:os'
import { collect, type Effect } from '../error.ts'
import { type ReadPictureOptions, readPicture } from '../io/images.ts'
import { E, pipe, T, TE } from '../prelude.ts'

/** How pictures become `[3, size, size]`: size, background, fit, kernel. */
export type PictureOptions = ReadPictureOptions

/** Pictures being decoded at a time: enough to hide the waiting for files, few enough to be gentle with memory. */
const inFlight = 2 * availableParallelism()

/** Reads pictures into one array `[paths.length, 3, size, size]`. Errors: `file`, one for each unreadable picture. */
export const decodeAll = (paths: readonly string[], options: PictureOptions): Effect<Float32Array> => {
  const values = 3 * options.size * options.size
  const pictures = new Float32Array(paths.length * values)
  const queue = paths.entries()
  const decode = ([i, path]: readonly [number, string]): Effect<void> =>
    pipe(
      readPicture(path, options),
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
