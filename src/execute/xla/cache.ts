import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { breathing } from '../breath.ts'
import { cacheFolder } from '../native/recorded.ts'

/** Compiled programs on the disk, by everything that decides them. What cannot be read or written is compiled anew. */

/** Of all together; the ones that were not used for longest go first. */
const mostBytes = 2 ** 31
export const keyOf = (...parts: readonly string[]): string => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex')
}

const folder = (): string => join(cacheFolder(), 'xla')
const hashBytes = 32

/** Of a program, which may be long, while others have turns. */
export const digestOf = async (content: Uint8Array): Promise<Buffer> => {
  const hash = createHash('sha256')
  const breath = breathing()
  for (let at = 0; at < content.length; at += part) {
    hash.update(content.subarray(at, at + part))
    await breath()
  }
  return hash.update('\0').digest()
}
const part = 2 ** 20

/** What was kept under a key, if it is whole. */
export const recall = async (key: string): Promise<Uint8Array<ArrayBuffer> | undefined> => {
  const path = join(folder(), key)
  const kept = await readFile(path).catch(() => undefined)
  if (kept === undefined) return undefined
  const content = kept.subarray(hashBytes)
  if (!(await digestOf(content)).equals(kept.subarray(0, hashBytes))) return undefined
  const now = new Date()
  await utimes(path, now, now).catch(() => {})
  return content
}

const makeRoom = async (): Promise<void> => {
  const names = await readdir(folder())
  const files = await Promise.all(
    names.map(async (name) => {
      const path = join(folder(), name)
      const { size, mtimeMs } = await stat(path)
      return { path, size, mtimeMs }
    }),
  )
  let bytes = 0
  for (const { path, size } of files.sort((a, b) => b.mtimeMs - a.mtimeMs)) {
    bytes += size
    if (bytes > mostBytes) await rm(path, { force: true })
  }
}

/** Keeps a program; a disk that is full or read-only costs the next start its time, no more. */
export const keep = async (key: string, content: Uint8Array): Promise<void> => {
  const path = join(folder(), key)
  const unfinished = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await mkdir(folder(), { recursive: true })
    await writeFile(unfinished, [await digestOf(content), content])
    await rename(unfinished, path)
    await makeRoom()
  } catch {
    await rm(unfinished, { force: true }).catch(() => {})
  }
}
