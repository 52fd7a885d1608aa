import { randomBytes } from 'node:crypto'
import { access, lstat, mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Effect, fail } from '../error.ts'
import { TE } from '../prelude.ts'
import { fileEffect } from './bytes.ts'
import { isPlainName } from './names.ts'

const sibling = (path: string, suffix: string): string => join(dirname(path), `.${basename(path)}.${suffix}`)

const temporary = (path: string): string => sibling(path, `${randomBytes(6).toString('hex')}.tmp`)

/** Where the folder that is being replaced waits until its successor is in place. */
const previous = (path: string): string => sibling(path, 'previous')

const writeSynced = async (path: string, bytes: Uint8Array): Promise<void> => {
  const file = await open(path, 'wx')
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes a folder's entries durable. Windows cannot open folders, and needs no such call. */
const syncFolder = async (path: string): Promise<void> => {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** Writes a temporary sibling by `write`, then puts it in its place by `settle`; removes it if either fails. */
const throughTemporary = async (
  path: string,
  write: (temporary: string) => Promise<void>,
  settle: (temporary: string) => Promise<void>,
): Promise<void> => {
  await mkdir(dirname(path), { recursive: true })
  const temp = temporary(path)
  try {
    await write(temp)
    await settle(temp)
    await syncFolder(dirname(path))
  } catch (reason) {
    await rm(temp, { recursive: true, force: true })
    throw reason
  }
}

/**
 * Writes a file so that its path holds, at every moment, the whole old content or the whole new one.
 * Creates the folders above it. Errors: `file`; nothing is left behind then.
 */
export const writeFileAtomic = (path: string, bytes: Uint8Array): Effect<void> =>
  fileEffect(path, 'a file that can be written', () =>
    throughTemporary(
      path,
      (temp) => writeSynced(temp, bytes),
      (temp) => rename(temp, path),
    ),
  )

/** Puts a folder back that a crash caught between leaving its place and its successor taking it. */
const restore = async (path: string): Promise<void> => {
  const old = previous(path)
  if (!(await exists(old))) return
  await ((await exists(path)) ? rm(old, { recursive: true }) : rename(old, path))
}

const swapFolder = async (temp: string, path: string): Promise<void> => {
  await restore(path)
  if (!(await exists(path))) return rename(temp, path)
  if (!(await lstat(path)).isDirectory()) throw new Error('something else than a folder has that name')
  const old = previous(path)
  await rename(path, old)
  try {
    await rename(temp, path)
  } catch (reason) {
    await rename(old, path)
    throw reason
  }
  await rm(old, { recursive: true })
}

/**
 * Writes a folder of files, replacing a folder that is there, so that its path never holds a half-written one.
 * A crash in the middle of a replacement is repaired by the next `writeFolderAtomic` or `restoreFolder` of that path.
 * Errors: `file`; nothing is left behind then, and the old folder stays as it was.
 */
export const writeFolderAtomic = (path: string, files: Readonly<Record<string, Uint8Array>>): Effect<void> => {
  const odd = Object.keys(files).find((name) => !isPlainName(name))
  return odd !== undefined
    ? TE.fromEither(fail('file', path, 'plain file names of letters, digits, ., _ and -', JSON.stringify(odd)))
    : fileEffect(path, 'a folder that can be written', () =>
        throughTemporary(
          path,
          async (temp) => {
            await mkdir(temp)
            for (const [name, bytes] of Object.entries(files)) await writeSynced(join(temp, name), bytes)
            await syncFolder(temp)
          },
          (temp) => swapFolder(temp, path),
        ),
      )
}

/** Finishes what a crash during `writeFolderAtomic` left undone, so that the folder can be read. Errors: `file`. */
export const restoreFolder = (path: string): Effect<void> =>
  fileEffect(path, 'a folder that can be restored', () => restore(path))
