import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import { type Effect, effect, failure } from '../error.ts'
import { fileEffect } from '../io/bytes.ts'
import { TE } from '../prelude.ts'

/** The page's files, read once: what is not among them cannot be asked for. */

export interface Asset {
  readonly type: string
  readonly bytes: Uint8Array
}
/** By the path of its URL. */
export type Site = ReadonlyMap<string, Asset>

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** Reads the built page. Errors: `file`, none there. */
export const readSite = (folder: string): Effect<Site> =>
  effect(async (run) => {
    const index = join(folder, 'index.html')
    if (!existsSync(index))
      return run(TE.left([failure('file', index, 'the page, built', 'nothing there', 'npm run build makes it')]))
    return run(
      fileEffect(folder, 'a folder that can be read', async () => {
        const site = new Map<string, Asset>()
        for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
          const type = types[extname(entry.name)]
          if (!entry.isFile() || type === undefined) continue
          const path = join(entry.parentPath, entry.name)
          const name = relative(folder, path).split(sep).join('/')
          site.set(name === 'index.html' ? '/' : `/${name}`, { type, bytes: await readFile(path) })
        }
        return site
      }),
    )
  })
