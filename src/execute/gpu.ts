import { readdir, readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { reasonOf } from '../error.ts'
import { E, pipe, type Task, t } from '../prelude.ts'

/** A GPU that programs can open, and who made it: its PCI vendor, where it sits on such a bus. */
export interface GpuDevice {
  readonly path: string
  readonly vendor: string | undefined
}
/** What the operating system says of GPUs. */
export interface GpuFacts {
  readonly platform: NodeJS.Platform
  readonly devices: readonly GpuDevice[]
  /** The libraries of the Vulkan drivers that a program gets to see. */
  readonly drivers: readonly string[]
}

/** Whether there is a real GPU, and in a clause how that is known. `unknown` where the system has no such files. */
export interface Judgement {
  readonly kind: 'hardware' | 'none' | 'unknown'
  readonly what: string
}

/** Vulkan drivers: whose devices each drives. A software driver drives none, one without a vendor any. */
const drivers: readonly { readonly named: RegExp; readonly software?: true; readonly vendor?: string }[] = [
  { named: /swiftshader|lvp|llvmpipe/i, software: true },
  { named: /nvidia|nouveau/i, vendor: '0x10de' },
  { named: /radeon|amd/i, vendor: '0x1002' },
  { named: /intel/i, vendor: '0x8086' },
  { named: /freedreno|panfrost|broadcom|asahi|powervr|virtio|dzn/i },
]
const kindOf = (library: string) => drivers.find(({ named }) => named.test(basename(library)))
const drives = (library: string, { vendor }: GpuDevice): boolean => {
  const kind = kindOf(library)
  return kind !== undefined && kind.software !== true && (kind.vendor === undefined || kind.vendor === vendor)
}

const showDriver = (library: string): string =>
  `${basename(library)}${kindOf(library)?.software === true ? ' (software)' : ''}`
const orNone = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '))

/** What was found, for a person. */
export const showGpuFacts = ({ platform, devices, drivers: libraries }: GpuFacts): string =>
  platform === 'linux'
    ? `GPU devices in /dev: ${orNone(devices.map(({ path }) => path))}; Vulkan drivers: ${orNone(libraries.map(showDriver))}`
    : `${platform}, where the system's GPUs are not looked up`

/** Pure: a GPU is real where a driver that is not software meets a device that it drives. */
export const judgeGpu = (facts: GpuFacts): Judgement => {
  if (facts.platform === 'darwin') return { kind: 'hardware', what: 'Metal' }
  if (facts.platform !== 'linux') return { kind: 'unknown', what: showGpuFacts(facts) }
  const [found] = facts.devices.flatMap((device) =>
    facts.drivers.filter((d) => drives(d, device)).map((d) => `${device.path} by Vulkan's ${basename(d)}`),
  )
  return found === undefined ? { kind: 'none', what: showGpuFacts(facts) } : { kind: 'hardware', what: found }
}

const listed = (folder: string): Promise<readonly string[]> => readdir(folder).catch(() => [])
const firstLine = (file: string): Promise<string | undefined> =>
  readFile(file, 'utf8').then(
    (s) => s.trim(),
    () => undefined,
  )

const devicesOf = async (dev: string, sys: string): Promise<readonly GpuDevice[]> => {
  const nvidia = (await listed(dev)).filter((f) => /^nvidia\d+$/.test(f))
  const nodes = (await listed(join(dev, 'dri'))).filter((f) => f.startsWith('renderD'))
  return [
    ...nvidia.map((f) => ({ path: join(dev, f), vendor: '0x10de' })),
    ...(await Promise.all(
      nodes.map(async (f) => ({
        path: join(dev, 'dri', f),
        vendor: await firstLine(join(sys, 'class/drm', f, 'device/vendor')),
      })),
    )),
  ]
}

/** The loader's variables and folders: https://vulkan.lunarg.com/doc/sdk/latest/linux/LoaderDriverInterface.html */
const manifestPlaces = (env: NodeJS.ProcessEnv): readonly string[] => {
  const named = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES
  const folders = ['/usr/local/etc', '/usr/local/share', '/etc', '/usr/share', join(homedir(), '.local/share')]
  const standard = folders.map((f) => join(f, 'vulkan/icd.d'))
  const added = env.VK_ADD_DRIVER_FILES?.split(':') ?? []
  return [...added, ...(named === undefined ? standard : named.split(':'))].filter((p) => p !== '')
}
const manifestsAt = async (path: string): Promise<readonly string[]> => {
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory() !== true) return found === undefined ? [] : [path]
  return (await listed(path)).filter((f) => f.endsWith('.json')).map((f) => join(path, f))
}
const manifest = t.type({ ICD: t.type({ library_path: t.string }) })
const libraryOf = async (file: string): Promise<readonly string[]> => {
  const json = await readFile(file, 'utf8').catch(() => '')
  return pipe(
    E.tryCatch((): unknown => JSON.parse(json), reasonOf),
    E.chainW(manifest.decode),
    E.match(
      () => [],
      ({ ICD: { library_path: path } }) => [path.includes('/') ? resolve(dirname(file), path) : path],
    ),
  )
}

/** Reads the system's own files; asks no driver. */
export const gpuFacts: Task<GpuFacts> = async () => {
  const { platform, env } = process
  if (platform !== 'linux') return { platform, devices: [], drivers: [] }
  const manifests = (await Promise.all(manifestPlaces(env).map(manifestsAt))).flat()
  return {
    platform,
    devices: await devicesOf('/dev', '/sys'),
    drivers: (await Promise.all(manifests.map(libraryOf))).flat(),
  }
}
