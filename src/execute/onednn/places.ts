import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Effect, type Errors, effect, failure, reasonOf } from '../../error.ts'
import { TE } from '../../prelude.ts'
import { type Decoded, decode, record, text } from '../../schema.ts'

/** Which library the user chose, as `latentgraph setup onednn` writes it down. */
export const chosen = record({ path: text, sha256: text, version: text })
export type Chosen = Decoded<typeof chosen>

/** Where a library lies that was taken out of a package. */
export const keptPath = (sha256: string): string =>
  join(
    process.env.XDG_DATA_HOME || join(homedir(), '.local/share'),
    'latentgraph',
    `libdnnl-${sha256.slice(0, 16)}.so.3`,
  )

export const recordPath = (): string =>
  join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'latentgraph', 'onednn.json')

/** The commands that bring the library. */
export const howToGet =
  'pip download --no-deps onednn-cpu-gomp, then: latentgraph setup onednn --from onednn_cpu_gomp-*.whl'

/** A library file, and the hash that it has to have, if one was written down. */
export interface Place {
  readonly path: string
  readonly sha256?: string
}

/** Names of oneDNN 3, under which systems install it. */
export const libraryName = /^(lib)?dnnl(\.so\.3(\.\d+)*|\.3(\.\d+)*\.dylib|\.dll)$/

const triplets: Readonly<Record<string, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }
const folders = (): readonly string[] => [
  ...(process.env.LD_LIBRARY_PATH ?? '').split(':').filter((f) => f !== ''),
  ...(process.env.CONDA_PREFIX ? [join(process.env.CONDA_PREFIX, 'lib')] : []),
  '/usr/local/lib',
  ...(triplets[process.arch] === undefined ? [] : [`/usr/lib/${triplets[process.arch]}`]),
  '/usr/lib64',
  '/usr/lib',
  '/opt/homebrew/lib',
]

const written = (path: string): Effect<Chosen | undefined> =>
  effect(async (run) => {
    const content = await readFile(path, 'utf8').catch(() => undefined)
    if (content === undefined) return undefined
    const parsed = await run(
      TE.tryCatch(
        async (): Promise<unknown> => JSON.parse(content),
        (e): Errors => [
          failure('compile', path, 'what setup wrote', reasonOf(e), 'write it anew: latentgraph setup onednn'),
        ],
      ),
    )
    return run(TE.fromEither(decode(chosen, { tag: 'compile', base: path })(parsed)))
  })

/** Files of a folder that are called as oneDNN 3 is, by name. */
export const inFolder = async (folder: string): Promise<readonly string[]> =>
  [...(await readdir(folder).catch((): string[] => []))]
    .sort()
    .filter((name) => libraryName.test(name))
    .map((name) => join(folder, name))

/** The library to load: that which was chosen, or the first that the system has. Errors: `compile` where there is none. */
export const findLibrary: Effect<Place> = effect(async (run) => {
  const own = await run(written(recordPath()))
  if (own !== undefined) return own
  for (const folder of folders()) {
    const [path] = await inFolder(folder)
    if (path !== undefined) return { path }
  }
  return run(TE.left([failure('compile', 'onednn', 'oneDNN 3', 'no such library on this machine', howToGet)]))
})

/** A file that has the hash it had when it was chosen. Errors: `compile`. */
export const checkHash = ({ path, sha256 }: Place): Effect<void> =>
  effect(async (run) => {
    if (sha256 === undefined) return
    const content = await run(
      TE.tryCatch(
        () => readFile(path),
        (e): Errors => [failure('compile', path, 'the library that was set up', reasonOf(e), howToGet)],
      ),
    )
    const found = createHash('sha256').update(content).digest('hex')
    if (found !== sha256)
      await run(
        TE.left([
          failure(
            'compile',
            path,
            `the file that was set up, of SHA-256 ${sha256}`,
            `SHA-256 ${found}`,
            'set it up anew: latentgraph setup onednn',
          ),
        ]),
      )
  })
