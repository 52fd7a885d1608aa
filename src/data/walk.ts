import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { fileEffect } from '../io/bytes.ts'
import { asArgument, byCodePoint } from '../io/names.ts'
import { E, TE } from '../prelude.ts'
import type { LeftOut, Reason } from './left-out.ts'

/** The files of a folder and of the folders in it, links followed. Paths are relative to it, with `/` between folders. */
export interface Walked {
  readonly files: readonly string[]
  /** The folders directly in it. */
  readonly folders: readonly string[]
  readonly leftOut: readonly LeftOut[]
}

/** What macOS, Windows, their archivers, network disks and notebooks leave in folders. */
const litter =
  /^(\..*|__macosx|thumbs\.db|ehthumbs(_vista)?\.db|desktop\.ini|icon\r|@eadir|#recycle|\$recycle\.bin|system volume information|lost\+found)$/i
const unfinished = /(~|\.(part|partial|crdownload|download|tmp|temp|bak|swp|orig|lock))$/i

const reasonOfName = (name: string): Reason | undefined =>
  litter.test(name) ? 'hidden' : unfinished.test(name) ? 'unfinished' : undefined

type Kind = 'file' | 'folder' | 'broken' | 'special'
const kindOf = async (path: string, entry: Dirent<Buffer>): Promise<Kind> => {
  if (entry.isFile()) return 'file'
  if (entry.isDirectory()) return 'folder'
  const target = await stat(path).catch(() => undefined)
  return target === undefined ? 'broken' : target.isFile() ? 'file' : target.isDirectory() ? 'folder' : 'special'
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const utf8Of = (bytes: Uint8Array): E.Either<unknown, string> =>
  E.tryCatch(
    () => utf8.decode(bytes),
    (reason) => reason,
  )

/** A folder's entries by name. Two names that are no UTF-8 would read alike, and their files could not be opened. */
const entriesOf = (dir: string): Effect<readonly (readonly [string, Dirent<Buffer>])[]> =>
  effect(async (run) => {
    const entries = await run(
      fileEffect(dir, 'a folder of pictures', () => readdir(dir, { withFileTypes: true, encoding: 'buffer' })),
    )
    const strange = entries.filter(({ name }) => E.isLeft(utf8Of(name)))
    const [first] = strange
    if (first !== undefined)
      await run(
        TE.left([
          failure(
            'data',
            dir,
            'names in UTF-8',
            `${strange.length} that are not, such as ${JSON.stringify(first.name.toString('latin1'))}`,
            `rename them; if they come from Windows: convmv -f cp1252 -t utf-8 -r --notest ${asArgument(dir)}`,
          ),
        ]),
      )
    return entries
      .flatMap((entry) => {
        const name = utf8Of(entry.name)
        return E.isRight(name) ? [[name.right, entry] as const] : []
      })
      .sort(([a], [b]) => byCodePoint(a, b))
  })

/** Walks a folder. Errors: `file` (a folder that cannot be read), `data` (a name that is no UTF-8). */
export const walk = (root: string): Effect<Walked> =>
  effect(async (run) => {
    const files: string[] = []
    const folders: string[] = []
    const leftOut: LeftOut[] = []
    /** Whether the folder was not entered before. */
    const enter = async (prefix: string, above: readonly string[]): Promise<boolean> => {
      const here = join(root, prefix)
      const real = await run(fileEffect(here, 'a folder of pictures', () => realpath(here)))
      if (above.includes(real)) {
        leftOut.push({ path: prefix.slice(0, -1), reason: 'loop' })
        return false
      }
      for (const [name, entry] of await run(entriesOf(here))) {
        const path = `${prefix}${name}`
        const kind = await kindOf(join(root, path), entry)
        const reason = reasonOfName(name) ?? (kind === 'file' || kind === 'folder' ? undefined : kind)
        if (reason !== undefined) leftOut.push({ path, reason })
        else if (kind === 'file') files.push(path)
        else if ((await enter(`${path}/`, [...above, real])) && prefix === '') folders.push(path)
      }
      return true
    }
    await enter('', [])
    return { files, folders, leftOut }
  })
