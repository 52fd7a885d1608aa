import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Effect } from '../error.ts'
import { temporary } from './atomic.ts'
import { fileEffect } from './bytes.ts'

/** Rows of `each` numbers on the disk, in a file without a name: nothing of it is left however the process ends. */
export interface Scratch {
  readonly append: (rows: Float32Array) => Effect<void>
  /** The rows at `indices`, in their order. */
  readonly read: (indices: ArrayLike<number>) => Effect<Float32Array>
  readonly close: Effect<void>
}

const wordBytes = 4
const bytesOf = (x: Float32Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength)

const nameless = async (dir: string): Promise<FileHandle> => {
  await mkdir(dir, { recursive: true })
  const path = temporary(join(dir, 'scratch'))
  const file = await open(path, 'wx+')
  await unlink(path)
  return file
}

/** An empty file of rows in a folder. Errors: `file`, also where the disk is full. */
export const scratch = (dir: string, each: number): Effect<Scratch> =>
  fileEffect(dir, 'a folder to put files into', async () => {
    const file = await nameless(dir)
    let end = 0
    const read = async (indices: ArrayLike<number>): Promise<Float32Array> => {
      const rows = new Float32Array(indices.length * each)
      const bytes = bytesOf(rows)
      const rowBytes = each * wordBytes
      await Promise.all(
        Array.from(indices, async (index, i) => {
          const { bytesRead } = await file.read(bytes, i * rowBytes, rowBytes, index * rowBytes)
          if (bytesRead < rowBytes) throw new Error(`only ${bytesRead} of ${rowBytes} bytes of row ${index}`)
        }),
      )
      return rows
    }
    return {
      append: (rows) =>
        fileEffect(dir, 'room on its disk for latents', async () => {
          for (let bytes = bytesOf(rows); bytes.length > 0; ) {
            const { bytesWritten } = await file.write(bytes, 0, bytes.length, end)
            bytes = bytes.subarray(bytesWritten)
            end += bytesWritten
          }
        }),
      read: (indices) => fileEffect(dir, 'latents that can be read back', () => read(indices)),
      close: fileEffect(dir, 'a file that can be closed', () => file.close()),
    }
  })
