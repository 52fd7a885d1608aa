import { basename, join } from 'node:path'
import { type Effect, effect, failure } from '../../error.ts'
import { TE } from '../../prelude.ts'
import { type Decoded, list, record, text } from '../../schema.ts'
import { dataFolder, type Place, recorded } from '../native/recorded.ts'
import type { Group } from '../ranks/group.ts'

/** Which plugins the user chose, one of each platform, as `latentgraph setup xla` writes them down. */
export const chosen = record({ plugins: list(record({ platform: text, path: text, sha256: text, version: text })) })
export type Chosen = Decoded<typeof chosen>

/** Where a plugin lies that was taken out of a package. */
export const keptPath = (platform: string, sha256: string): string =>
  join(dataFolder(), `pjrt-${platform}-${sha256.slice(0, 16)}.so`)

/** The commands that bring a plugin. */
export const howToGet =
  "pip install --target DIR 'jax[cuda12]' (NVIDIA) or jax-rocm7-pjrt (AMD), then: latentgraph setup xla --from DIR"

const extension = /\.(so|dylib|dll)$/
/** Plugins by the names of their files: JAX's, and those of packages for the CPU. */
export const isPlugin = (name: string): boolean =>
  extension.test(name) &&
  /(^xla_\w*plugin|^libpjrt_|^pjrt_c_api_\w*plugin|^pjrt_plugin_|^xla_cpu_pjrt|^libtpu)\.?/.test(name)

export const platforms = ['cuda', 'rocm', 'tpu', 'sycl', 'metal', 'cpu'] as const
/** For which platform a plugin is, as the name of its file has it. */
export const platformOf = (path: string): string | undefined =>
  platforms.find((platform) => basename(path).toLowerCase().includes(platform))

/** A plugin of a platform, and who named it. */
export interface Named extends Place {
  readonly platform: string
  readonly by: string
}

/** Plugins that the command line names, for as long as the process lives. */
const asked: Named[] = []
export const askFor = (path: string): void => {
  if (!asked.some((p) => p.path === path)) asked.push({ platform: platformOf(path) ?? 'plugin', path, by: '--plugin' })
}

/** How many devices, what each has of the optimiser's state, and the processes that train with this one, each with as many devices. */
export interface AskedDevices {
  readonly count: number
  readonly optimizerState: 'whole' | 'parts'
  readonly group?: Group
}
/** What the command line asks for. */
const devices: { asked: AskedDevices } = { asked: { count: 1, optimizerState: 'whole' } }
export const askForDevices = (asked: AskedDevices): void => {
  devices.asked = asked
}
export const askedDevices = (): AskedDevices => devices.asked

const variable = 'PJRT_NAMES_AND_LIBRARY_PATHS'
/** `cuda:/path/x.so,cpu:/path/y.so`; on Windows a semicolon stands between name and path. */
export const inVariable = (content: string, platform: NodeJS.Platform): readonly Named[] =>
  content.split(',').flatMap((entry) => {
    const at = entry.indexOf(platform === 'win32' ? ';' : ':')
    const [name, path] = [entry.slice(0, at).trim().toLowerCase(), entry.slice(at + 1).trim()]
    return at < 1 || path === '' ? [] : [{ platform: name, path, by: variable }]
  })

/** All plugins that were named here, the nearest first. Errors: `compile`, of a record that cannot be read. */
export const namedPlugins: Effect<readonly Named[]> = effect(async (run) => {
  const written = await run(recorded('xla', chosen))
  return [
    ...asked,
    ...inVariable(process.env[variable] ?? '', process.platform),
    ...(written?.plugins ?? []).map((p) => ({ ...p, by: 'latentgraph setup xla' })),
  ]
})

/** The plugin of a platform. Errors: `compile` where there is none. */
export const findPlugin = (platform: string): Effect<Named> =>
  effect(async (run) => {
    const named = await run(namedPlugins)
    const found = named.find((p) => p.platform === platform)
    const others = named.map((p) => p.platform).join(', ')
    return (
      found ??
      run(
        TE.left([
          failure(
            'compile',
            `xla:${platform}`,
            `a PJRT plugin for ${platform}`,
            others === '' ? 'none was set up' : `plugins for ${others} alone`,
            howToGet,
          ),
        ]),
      )
    )
  })
