import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Effect, type Errors, effect, failure, type LatentError, reasonOf } from '../../error.ts'
import { E, RNEA, TE } from '../../prelude.ts'
import { type Codec, decode } from '../../schema.ts'

/** What `latentgraph setup` writes down of libraries that the user adds, and where it keeps them. */

const below = (variable: string, otherwise: string): string =>
  join(process.env[variable] || join(homedir(), otherwise), 'latentgraph')
export const dataFolder = (): string => below('XDG_DATA_HOME', '.local/share')
export const cacheFolder = (): string => below('XDG_CACHE_HOME', '.cache')
/** The record of an engine: `onednn`, `xla`. */
export const recordPath = (engine: string): string => join(below('XDG_CONFIG_HOME', '.config'), `${engine}.json`)

/** The record of an engine; undefined where there is none. Errors: `compile`, where it is not what the command writes. */
export const recorded = <A>(
  engine: string,
  codec: Codec<A>,
  command = `latentgraph setup ${engine}`,
): Effect<A | undefined> =>
  effect(async (run) => {
    const path = recordPath(engine)
    const anew = `write it anew: ${command}`
    const content = await readFile(path, 'utf8').catch(() => undefined)
    if (content === undefined) return undefined
    const parsed = await run(
      TE.tryCatch(
        async (): Promise<unknown> => JSON.parse(content),
        (e): Errors => [failure('compile', path, `what ${command} wrote`, reasonOf(e), anew)],
      ),
    )
    const decoded = decode(codec, { tag: 'compile', base: path })(parsed)
    return run(TE.fromEither(E.mapLeft(RNEA.map((e: LatentError) => ({ hint: anew, ...e })))(decoded)))
  })

const hashes = new Map<string, Promise<string>>()
const hashed = async (path: string): Promise<string> => {
  const hash = createHash('sha256')
  for await (const part of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(part)
  return hash.digest('hex')
}
/** The SHA-256 of a library, read once in the life of the process. Errors: `compile`. */
export const hashOf = (path: string, howToGet: string): Effect<string> =>
  TE.tryCatch(
    () => {
      const known = hashes.get(path) ?? hashed(path)
      hashes.set(path, known)
      return known
    },
    (e): Errors => [failure('compile', path, 'the library that was set up', reasonOf(e), howToGet)],
  )

/** A library file, and the hash that it has to have, if one was written down. */
export interface Place {
  readonly path: string
  readonly sha256?: string
}
/** A file that has the hash it had when it was chosen. Errors: `compile`. */
export const checkHash = ({ path, sha256 }: Place, engine: string, howToGet: string): Effect<void> =>
  effect(async (run) => {
    if (sha256 === undefined) return
    const found = await run(hashOf(path, howToGet))
    if (found !== sha256)
      await run(
        TE.left([
          failure(
            'compile',
            path,
            `the file that was set up, of SHA-256 ${sha256}`,
            `SHA-256 ${found}`,
            `set it up anew: latentgraph setup ${engine}`,
          ),
        ]),
      )
  })
