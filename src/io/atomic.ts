import { createHash, randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { access, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { type Effect, type Errors, fail } from '../error.ts'
import { E, pipe, TE } from '../prelude.ts'
import { fileEffect, fileFailure } from './bytes.ts'
import { isPlainName } from './names.ts'

const sibling = (path: string, suffix: string): string => join(dirname(path), `.${basename(path)}.${suffix}`)

/** A name beside a path that `sweep` knows for a leftover. */
export const temporary = (path: string): string => sibling(path, `${randomBytes(6).toString('hex')}.tmp`)
const temporaryName = /^\..+\.[0-9a-f]{12}\.tmp$/

/** Where the folder that is being replaced waits until its successor is in place. */
const previous = (path: string): string => sibling(path, 'previous')
const previousName = /^\.(.+)\.previous$/

/** Temporary siblings of this process, which go with it where it ends in the middle of a write. */
const unfinished = new Set<string>()
const forget = (): void => {
  for (const path of unfinished) rmSync(path, { recursive: true, force: true })
}
const remember = (path: string): void => {
  if (unfinished.size === 0) process.once('exit', forget)
  unfinished.add(path)
}
const finish = (path: string): void => {
  unfinished.delete(path)
  if (unfinished.size === 0) process.off('exit', forget)
}

/** What a file is to hold: bytes, or parts that are made one after the other as they are written. */
export type Content = Uint8Array | readonly Effect<Uint8Array>[]
/** What a file holds. */
export interface Written {
  readonly sha256: string
  readonly bytes: number
}

/** Carries the errors of a part through what undoes the writing. */
class PartFailure extends Error {
  readonly errors: Errors
  constructor(errors: Errors) {
    super('a part of a file')
    this.errors = errors
  }
}
const made = async (part: Effect<Uint8Array>): Promise<Uint8Array> => {
  const result = await part()
  if (E.isLeft(result)) throw new PartFailure(result.left)
  return result.right
}

const writeSynced = async (path: string, content: Content): Promise<Written> => {
  const file = await open(path, 'wx')
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for (const part of content instanceof Uint8Array ? [TE.right(content)] : content) {
      const next = await made(part)
      await file.writeFile(next)
      hash.update(next)
      bytes += next.length
    }
    await file.sync()
    return { sha256: hash.digest('hex'), bytes }
  } finally {
    await file.close()
  }
}
const writing = <A>(path: string, expected: string, run: () => Promise<A>): Effect<A> =>
  TE.tryCatch(run, (reason) => (reason instanceof PartFailure ? reason.errors : fileFailure(path, expected)(reason)))

/** Lends a folder of its own beside a path, which goes afterwards, however the process ends but by SIGKILL; `sweep` removes it then. */
export const inTemporaryFolder = async <A>(path: string, body: (folder: string) => Promise<A>): Promise<A> => {
  const folder = temporary(path)
  remember(folder)
  try {
    await mkdir(folder, { recursive: true })
    return await body(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
    finish(folder)
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
const throughTemporary = async <A>(
  path: string,
  write: (temporary: string) => Promise<A>,
  settle: (temporary: string) => Promise<void>,
): Promise<A> => {
  await mkdir(dirname(path), { recursive: true })
  const temp = temporary(path)
  remember(temp)
  try {
    const written = await write(temp)
    await settle(temp)
    await syncFolder(dirname(path))
    return written
  } catch (reason) {
    await rm(temp, { recursive: true, force: true })
    throw reason
  } finally {
    finish(temp)
  }
}

/**
 * Writes a file so that its path holds, at every moment, the whole old content or the whole new one.
 * Creates the folders above it. Errors: `file`; nothing is left behind then.
 */
export const writeContentAtomic = (path: string, content: Content): Effect<Written> =>
  writing(path, 'a file that can be written', () =>
    throughTemporary(
      path,
      (temp) => writeSynced(temp, content),
      (temp) => rename(temp, path),
    ),
  )
export const writeFileAtomic = (path: string, bytes: Uint8Array): Effect<void> =>
  pipe(
    writeContentAtomic(path, bytes),
    TE.map(() => undefined),
  )

/** The folder that a path is in, or would be in once those above it are made: the nearest that is there. */
const nearestFolder = async (path: string): Promise<string> => {
  const folder = dirname(path)
  return folder === path || (await exists(folder)) ? folder : nearestFolder(folder)
}

/** Tries whether a file can be written at a path, before the work that its content takes; leaves nothing there. Errors: `file`. */
export const tryFile = (path: string): Effect<void> =>
  fileEffect(path, 'a file that can be written', async () => {
    const temp = temporary(join(await nearestFolder(resolve(path)), basename(path)))
    await (await open(temp, 'wx')).close()
    await rm(temp)
  })

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

/** A file's content, or what it is to be told the files before it. */
export type FolderContent = Content | ((before: Readonly<Record<string, Written>>) => Uint8Array)

/**
 * Writes a folder of files, replacing a folder that is there, so that its path never holds a half-written one.
 * A crash in the middle of a replacement is repaired by the next `writeFolderAtomic` of that path, or `sweep`.
 * Errors: `file`; nothing is left behind then, and the old folder stays as it was.
 */
export const writeFolderAtomic = (path: string, files: Readonly<Record<string, FolderContent>>): Effect<void> => {
  const odd = Object.keys(files).find((name) => !isPlainName(name))
  return odd !== undefined
    ? TE.fromEither(fail('file', path, 'plain file names of letters, digits, ., _ and -', JSON.stringify(odd)))
    : writing(path, 'a folder that can be written', () =>
        throughTemporary(
          path,
          async (temp) => {
            await mkdir(temp)
            const before: Record<string, Written> = {}
            for (const [name, content] of Object.entries(files))
              before[name] = await writeSynced(
                join(temp, name),
                typeof content === 'function' ? content(before) : content,
              )
            await syncFolder(temp)
          },
          (temp) => swapFolder(temp, path),
        ),
      )
}

/** Removes a folder so that a crash in the middle leaves nothing under its name. Errors: `file`. */
export const removeFolder = (path: string): Effect<void> =>
  fileEffect(path, 'a folder that can be removed', async () => {
    const temp = temporary(path)
    await rename(path, temp)
    await rm(temp, { recursive: true })
  })

/**
 * Removes from folders, which may be absent, what writes that were cut off have left there, and finishes replacements. Returns what
 * was removed. Only whoever owns the folders may call it. Errors: `file`.
 */
export const sweep = (dirs: readonly string[]): Effect<readonly string[]> =>
  fileEffect(dirs[0] ?? '', 'a folder that can be tidied', async () => {
    const removed: string[] = []
    for (const dir of dirs) {
      const names = await readdir(dir).catch((): readonly string[] => [])
      for (const name of names) {
        const replaced = previousName.exec(name)?.[1]
        if (replaced !== undefined) await restore(join(dir, replaced))
        if (!temporaryName.test(name)) continue
        await rm(join(dir, name), { recursive: true, force: true })
        removed.push(join(dir, name))
      }
    }
    return removed
  })
