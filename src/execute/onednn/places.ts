import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, effect, failure } from '../../error.ts'
import { TE } from '../../prelude.ts'
import { type Decoded, record, text } from '../../schema.ts'
import { dataFolder, type Place, recorded } from '../native/recorded.ts'

/** Which library the user chose, as `latentgraph setup onednn` writes it down. */
export const chosen = record({ path: text, sha256: text, version: text })
export type Chosen = Decoded<typeof chosen>

/** Where a library lies that was taken out of a package. */
export const keptPath = (sha256: string): string => join(dataFolder(), `libdnnl-${sha256.slice(0, 16)}.so.3`)

/** The commands that bring the library. */
export const howToGet =
  'pip download --no-deps onednn-cpu-gomp, then: latentgraph setup onednn --from onednn_cpu_gomp-*.whl'

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

/** Files of a folder that are called as oneDNN 3 is, by name. */
const inFolder = async (folder: string): Promise<readonly string[]> =>
  [...(await readdir(folder).catch((): string[] => []))]
    .sort()
    .filter((name) => libraryName.test(name))
    .map((name) => join(folder, name))

/** The library to load: that which was chosen, or the first that the system has. Errors: `compile` where there is none. */
export const findLibrary: Effect<Place> = effect(async (run) => {
  const own = await run(recorded('onednn', chosen))
  if (own !== undefined) return own
  for (const folder of folders()) {
    const [path] = await inFolder(folder)
    if (path !== undefined) return { path }
  }
  return run(TE.left([failure('compile', 'onednn', 'oneDNN 3', 'no such library on this machine', howToGet)]))
})
