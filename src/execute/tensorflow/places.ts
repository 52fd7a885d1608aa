import { readdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { type Effect, effect, failure } from '../../error.ts'
import { TE } from '../../prelude.ts'
import { type Decoded, flag, record, text } from '../../schema.ts'
import { cacheFolder, type Place, recorded } from '../native/recorded.ts'

/** The addon that `latentgraph setup tensorflow` built, the library against which it was, and whether that saw a GPU. */
export const chosen = record({ path: text, sha256: text, version: text, library: text, gpu: flag })
export type Chosen = Decoded<typeof chosen>

export const addonFolder = (): string => join(cacheFolder(), 'tensorflow')

export const howToGet =
  'python3 -m venv VENV && VENV/bin/pip install --no-deps tensorflow-cpu, then: latentgraph setup tensorflow --from VENV'
export const howToGetGpu =
  "python3 -m venv VENV && VENV/bin/pip install 'tensorflow[and-cuda]', then: latentgraph setup tensorflow --from VENV --gpu"

const resolve = createRequire(import.meta.url).resolve
/** The folder of an npm package that is installed beside us. */
export const packageFolder = (name: string): string | undefined => {
  try {
    return dirname(resolve(`${name}/package.json`))
  } catch {
    return undefined
  }
}
/** The addon that a package has where its installation could download TensorFlow. */
const ofPackage = async (name: string): Promise<string | undefined> => {
  const folder = packageFolder(name)
  if (folder === undefined) return undefined
  const lib = join(folder, 'lib')
  const versions = (await readdir(lib).catch((): string[] => [])).filter((v) => v.startsWith('napi-v')).sort()
  const found = versions.at(-1)
  return found === undefined ? undefined : join(lib, found, 'tfjs_binding.node')
}

/** The addon that was set up, or else that of a package. Errors: `compile` where there is none, or none for a GPU that is wanted. */
export const findAddon = (at: string, name: string, wantsGpu: boolean): Effect<Place> =>
  effect(async (run) => {
    const hint = wantsGpu ? howToGetGpu : howToGet
    const written = await run(recorded('tensorflow', chosen))
    if (written !== undefined && wantsGpu && !written.gpu)
      await run(
        TE.left([failure('compile', at, 'a GPU', `TensorFlow ${written.version} was set up without one`, hint)]),
      )
    if (written !== undefined) return written
    const path = await ofPackage(name)
    if (path !== undefined) return { path }
    return run(TE.left([failure('compile', at, 'TensorFlow', 'none was set up', hint)]))
  })
