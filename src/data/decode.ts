import { availableParallelism } from 'node:os'
import { type Checked, type Effect, type Errors, effect, failure } from '../error.ts'
import { readBytes, sha256 } from '../io/bytes.ts'
import { type DecodedPicture, decodePicture, type PictureFacts, type PictureOptions } from '../io/images.ts'
import { E, pipe, T, TE } from '../prelude.ts'
import { collectFew } from './left-out.ts'

/** Files being read at a time: enough to hide the waiting for them, few enough to be gentle with memory. */
const inFlight = 2 * availableParallelism()

/** Runs an effect for every item, so many at a time; results in the items' order. */
export const severally = <A, B>(items: readonly A[], of: (item: A, i: number) => Effect<B>): Effect<readonly B[]> => {
  const run = async (): Promise<readonly Checked<B>[]> => {
    const done: Checked<B>[] = []
    const queue = items.entries()
    const worker = async (): Promise<void> => {
      for (const [i, item] of queue) done[i] = await of(item, i)()
    }
    await Promise.all(Array.from({ length: inFlight }, worker))
    return done
  }
  return pipe(run, T.map(collectFew))
}

/** What a file was found to be. */
export interface FileFacts extends PictureFacts {
  readonly bytes: number
  readonly sha256: string
  /** A hash of the pixels that are kept: copies have the same, whatever the kind of file. */
  readonly pixels: string
}

export interface Decoded {
  /** `[n, planes, size, size]`: what `keep` leaves of each picture. */
  readonly pictures: Uint8Array
  /** How much of each pixel is covered, `[n, size, size]`; where asked for. */
  readonly coverage?: Uint8Array
  readonly files: readonly FileFacts[]
}

/** What is kept of a picture, so many bytes a pixel. */
export interface Keep {
  readonly planes: number
  readonly of: (picture: DecodedPicture) => Checked<Uint8Array>
}
export const keepColours: Keep = { planes: 3, of: ({ colours }) => E.right(colours) }

/** Bytes that `decodeAll` makes. */
export const decodedBytes = (n: number, { size, coverage }: PictureOptions, { planes }: Keep): number =>
  n * size * size * (planes + (coverage === true ? 1 : 0))

const allocated = (bytes: number): Effect<Uint8Array> =>
  TE.tryCatch(
    async () => new Uint8Array(bytes),
    () => [failure('data', 'memory', `${(bytes / 2 ** 30).toFixed(1)} GiB in one piece for the pictures`, 'less')],
  )

/**
 * Reads pictures, all or none. Errors: `file` and those of `keep`, one for each picture that cannot be taken; `data` where they do not
 * fit in memory.
 */
export const decodeAll = (paths: readonly string[], options: PictureOptions, keep = keepColours): Effect<Decoded> =>
  effect(async (run) => {
    const plane = options.size * options.size
    const pictures = await run(allocated(paths.length * keep.planes * plane))
    const coverage = await run(allocated(options.coverage === true ? paths.length * plane : 0))
    const one = (path: string, i: number): Effect<FileFacts> =>
      effect(async (go) => {
        const bytes = await go(readBytes(path))
        const picture = await go(decodePicture(path, bytes, options))
        const kept = await go(
          TE.fromEither(
            pipe(
              keep.of(picture),
              E.mapLeft(([first, ...rest]): Errors => [{ ...first, at: path }, ...rest]),
            ),
          ),
        )
        pictures.set(kept, i * keep.planes * plane)
        if (picture.coverage !== undefined) coverage.set(picture.coverage, i * plane)
        const { width, height, alpha, frames, bitsAChannel } = picture.facts
        const [content, pixels] = [sha256(bytes), sha256(kept)]
        return { width, height, alpha, frames, bitsAChannel, bytes: bytes.length, sha256: content, pixels }
      })
    const files = await run(severally(paths, one))
    return { pictures, files, ...(options.coverage === true ? { coverage } : {}) }
  })
