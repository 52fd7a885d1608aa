import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { type Effect, type Errors, failure, reasonOf } from '../error.ts'
import { TE } from '../prelude.ts'

/** Turns an exception of the file system into an error of the file at `at`. */
export const fileFailure =
  (at: string, expected: string) =>
  (reason: unknown): Errors => [
    failure(
      'file',
      at,
      expected,
      isMissing(reason, at) ? 'nothing there' : reasonOf(reason),
      isFull(reason) ? 'the disk is full: make room, then try again' : undefined,
    ),
  ]

const isMissing = (reason: unknown, at: string): boolean =>
  reason instanceof Error && 'code' in reason && reason.code === 'ENOENT' && 'path' in reason && reason.path === at

const isFull = (reason: unknown): boolean =>
  reason instanceof Error && 'code' in reason && (reason.code === 'ENOSPC' || reason.code === 'EDQUOT')

/** Runs file operations, turning what they throw into one error of the file at `at`. */
export const fileEffect = <A>(at: string, expected: string, run: () => Promise<A>): Effect<A> =>
  TE.tryCatch(run, fileFailure(at, expected))

/** One read call takes less than 2 GiB. */
const chunkBytes = 2 ** 30

/** Reads a whole file, of any size, into one array that starts at an aligned address. */
export const readBytes = (path: string): Effect<Uint8Array> =>
  fileEffect(path, 'a readable file', async () => {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      const bytes = new Uint8Array(size)
      for (let position = 0; position < size; ) {
        const { bytesRead } = await file.read(bytes, position, Math.min(chunkBytes, size - position), position)
        if (bytesRead === 0) throw new Error(`only ${position} of ${size} bytes`)
        position += bytesRead
      }
      return bytes
    } finally {
      await file.close()
    }
  })

/** SHA-256 in hexadecimal. */
export const sha256 = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex')
