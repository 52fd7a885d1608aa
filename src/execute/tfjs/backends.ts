import { type Effect, failure, type LatentError, reasonOf } from '../../error.ts'
import { pipe, TE } from '../../prelude.ts'
import { defer } from '../lifetime.ts'
import { faultsOf, findAdapter } from './adapter.ts'
import type { Device } from './device.ts'
import type { Target } from './lowering.ts'
import { none, webgpuQuirk } from './quirks.ts'
import { sumInBlocks, sumInPlace } from './sums.ts'
import { type Core, tfjsDevice } from './tfjs-device.ts'
import type { Rewriting } from './value.ts'

/** A backend of TensorFlow.js, or TensorFlow, that is loaded. */
export interface Ready {
  /** `TensorFlow.js`, `TensorFlow 2.21.0` */
  readonly engine: string
  readonly device: Device
  readonly target: Target
  /** What runs it: a GPU by name, or the CPU. */
  readonly description: string
  /** Whether it runs on a GPU that is one. */
  readonly gpu: boolean
}

/** Where packages come from; tests give others. */
export interface Source {
  readonly core: () => Promise<Core>
  readonly load: (name: string) => Promise<unknown>
  /** What the system says of GPUs, where it can be asked. */
  readonly gpus?: () => Promise<string>
}

type Found = Pick<Ready, 'description' | 'gpu'>
/** Why a backend that is installed does not serve. */
export class Unfit extends Error {
  readonly hint: string | undefined
  constructor(what: string, hint?: string) {
    super(what)
    this.hint = hint
  }
}

interface Row {
  readonly packages: readonly string[]
  /** Under which TensorFlow.js registers it. */
  readonly registered: string
  readonly preciseFunctions: boolean
  readonly sums: Rewriting
  readonly quirk: Rewriting
  /** Before its packages are loaded: throws `Unfit` where there is no device. */
  readonly before: (source: Source) => Promise<Found>
  /** Once it is the current backend: what it is, if that shows only then. */
  readonly after: (tf: Core, found: Found) => Found
  /** Once it is the current backend: what it complains of. */
  readonly faults: (tf: Core) => () => string | undefined
  readonly hint?: string
}
const core = '@tensorflow/tfjs-core'
const onCpu = async (): Promise<Found> => ({ description: 'the CPU', gpu: false })
const silent = () => () => undefined
const kept = (_: Core, found: Found): Found => found
/**
 * Of its four shaders for products TensorFlow.js takes one of 256 threads that meet at nine barriers for results of up
 * to 128 numbers, and one that unrolls tiles of 32 x 32 for large ones. A processor that plays the GPU runs the first
 * twenty times, and builds the second five times, as long as the one for small tiles, which takes any size.
 */
const smallTilesInSoftware = (tf: Core, found: Found): Found => {
  if (!found.gpu) tf.env().set('WEBGPU_MATMUL_PROGRAM_TYPE', 2)
  return found
}

const plain = (name: string, sums: Rewriting = sumInPlace): Row => ({
  sums,
  packages: [core, `@tensorflow/tfjs-backend-${name}`],
  registered: name,
  preciseFunctions: true,
  quirk: none,
  faults: silent,
  before: onCpu,
  after: kept,
})
const rows = {
  webgpu: {
    packages: [core, '@tensorflow/tfjs-backend-webgpu', 'webgpu'],
    registered: 'webgpu',
    preciseFunctions: false,
    sums: sumInPlace,
    quirk: webgpuQuirk,
    faults: (tf) => faultsOf(tf.backend()),
    before: async ({ load, gpus }) => {
      const adapter = await findAdapter(load)
      if (adapter === undefined)
        throw new Unfit(gpus === undefined ? 'no WebGPU adapter' : `no WebGPU adapter (${await gpus()})`)
      return { description: adapter.description, gpu: adapter.hardware }
    },
    after: smallTilesInSoftware,
    hint: 'a driver for Vulkan, Metal or D3D12; Debian has a software GPU: apt-get install chromium libvulkan1, VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json',
  },
  wasm: plain('wasm', sumInBlocks),
  cpu: plain('cpu'),
} as const satisfies Readonly<Record<string, Row>>

export type JsBackend = keyof typeof rows

/** As Node says it, and as Vite does of an optional peer. */
const isAbsent = (e: unknown): boolean =>
  e instanceof Error &&
  (('code' in e && (e.code === 'ERR_MODULE_NOT_FOUND' || e.code === 'MODULE_NOT_FOUND')) ||
    /Cannot find package|Could not resolve/.test(e.message))
const absentPackage = (e: unknown): string => /['"]([^'"]+)['"]/.exec(reasonOf(e))?.[1] ?? reasonOf(e)

const problem = (name: JsBackend, e: unknown): LatentError => {
  const { packages, hint }: Row = rows[name]
  const install = `npm install ${packages.join(' ')}`
  return isAbsent(e)
    ? failure('compile', `tfjs:${name}`, packages.join(' and '), `${absentPackage(e)} is not installed`, install)
    : e instanceof Unfit
      ? failure('compile', `tfjs:${name}`, 'a device that it can use', e.message, e.hint ?? hint)
      : failure('compile', `tfjs:${name}`, 'a backend that loads', reasonOf(e), hint ?? install)
}

/** Loads a backend from a source, and says what it found. `compile` errors say what to install. */
export const open = (name: JsBackend, source: Source): Effect<Ready> =>
  TE.tryCatch(
    async () => {
      const row: Row = rows[name]
      const tf = await source.core()
      tf.enableProdMode()
      const found = await row.before(source)
      for (const p of row.packages) if (p !== core && p !== 'webgpu') await source.load(p)
      if (!(await tf.setBackend(row.registered)))
        throw new Error(`TensorFlow.js cannot start its backend ${row.registered}`)
      const { description, gpu } = row.after(tf, found)
      const at = `tfjs:${name}`
      return {
        device: tfjsDevice(tf, at, row.registered, row.faults(tf)),
        target: {
          name: at,
          has: (kernel) => tf.getKernel(kernel, row.registered) !== undefined,
          preciseFunctions: row.preciseFunctions,
          quirk: row.quirk,
          sums: row.sums,
          paddings: 'words',
          dtypes: ['float32', 'int32', 'bool'],
          halves: none,
          together: false,
          lean: (roots) => roots,
          integers: name === 'webgpu' ? 2 ** 24 : 2 ** 31,
        },
        engine: 'TensorFlow.js',
        description,
        gpu,
      }
    },
    (e) => [problem(name, e)],
  )

/** A backend stays loaded; what failed is tried again. */
export const remembered = <N>(load: (name: N) => Effect<Ready>): ((name: N) => Effect<Ready>) => {
  const ready = new Map<N, Ready>()
  return (name) =>
    defer(() => {
      const known = ready.get(name)
      return known === undefined
        ? pipe(
            load(name),
            TE.map((made) => {
              ready.set(name, made)
              return made
            }),
          )
        : TE.right(known)
    })
}
export const loading = (source: Source): ((name: JsBackend) => Effect<Ready>) =>
  remembered((name) => open(name, source))
