import { type FileHandle, open } from 'node:fs/promises'
import type { Effect } from '../error.ts'
import { pipe, TE } from '../prelude.ts'
import { fileEffect, fileFailure } from './bytes.ts'

/** A file that is open: parts of it are read as they are needed. */
export interface Source {
  readonly path: string
  readonly size: number
  /** As many bytes from a position on, in an array of their own. Errors: `file`, where the file ends before. */
  readonly read: (position: number, length: number) => Effect<Uint8Array>
}

/** One read call takes less than 2 GiB. */
const chunkBytes = 2 ** 30

const readRange = async (handle: FileHandle, position: number, length: number): Promise<Uint8Array> => {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(chunkBytes, length - done), position + done)
    if (bytesRead === 0) throw new Error(`the end of the file after ${done} of ${length} bytes at ${position}`)
    done += bytesRead
  }
  return bytes
}

/** Bytes of a file that is opened for them alone. Errors: `file`. */
export const readPart = (path: string, position: number, length: number): Effect<Uint8Array> =>
  fileEffect(path, 'a readable file', async () => {
    const handle = await open(path, 'r')
    try {
      return await readRange(handle, position, length)
    } finally {
      await handle.close()
    }
  })

/** Opens a file for as long as `use` takes. Errors: `file`, and those of `use`. */
export const withSource = <A>(path: string, use: (source: Source) => Effect<A>): Effect<A> =>
  TE.bracket(
    fileEffect(path, 'a readable file', () => open(path, 'r')),
    (handle) =>
      pipe(
        fileEffect(path, 'a readable file', async () => (await handle.stat()).size),
        TE.flatMap((size) =>
          use({
            path,
            size,
            read: (position, length) =>
              position + length > size
                ? TE.left(fileFailure(path, `${length} bytes from ${position} on`)(`${size} bytes in all`))
                : fileEffect(path, 'a readable file', () => readRange(handle, position, length)),
          }),
        ),
      ),
    (handle) => fileEffect(path, 'a file that can be closed', () => handle.close()),
  )
