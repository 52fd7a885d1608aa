import { size } from '../../graph/types.ts'
import type { Leaving } from '../placement.ts'
import type { Held } from './device.ts'
import type { Watch } from './machine.ts'
import { tensorOf } from './tfjs-device.ts'

type Id = object
interface Info {
  readonly dataId: Id
  readonly shape: readonly number[]
}
/** What TensorFlow.js' WebGPU backend does its work with. */
interface WebgpuBackend {
  readonly makeTensorInfo: (shape: readonly number[], dtype: string) => Info
  readonly uploadToGPU: (id: Id) => void
  /** `resource` is the buffer on the device, `values` what the host has. */
  readonly tensorMap: { readonly get: (id: Id) => { readonly resource?: unknown; readonly values?: unknown } }
}
const works = ['makeTensorInfo', 'uploadToGPU', 'runWebGPUProgram', 'readSync'] as const
export const isWebgpuBackend = (b: object): b is WebgpuBackend =>
  works.every((name) => typeof Reflect.get(b, name) === 'function') && 'tensorMap' in b

interface Tally {
  nodes: number
  toHost: number
  toDevice: number
}

const bytesOf = ({ shape }: Pick<Info, 'shape'>): number => 4 * size(shape)

/**
 * Has kernels go through all they do but the shaders: results are put on the device and nothing computes them. What is
 * read back from the device, and what is made by the host, shows. Undone by `done`.
 */
export const dryRun = (backend: WebgpuBackend) => {
  const tallies = new Map<string, Tally>()
  const of = (kernel: string): Tally => {
    const tally = tallies.get(kernel) ?? { nodes: 0, toHost: 0, toDevice: 0 }
    tallies.set(kernel, tally)
    return tally
  }
  const onDevice = ({ dataId }: Info): boolean => (backend.tensorMap.get(dataId).resource ?? null) !== null
  const read = { bytes: 0 }
  const shader = (
    program: { readonly outputShape: readonly number[] },
    inputs: readonly Info[],
    dtype: string,
    _uniforms?: unknown,
    given?: Info,
  ): Info => {
    const output = given ?? backend.makeTensorInfo(program.outputShape, dtype)
    for (const { dataId } of [...inputs, output]) backend.uploadToGPU(dataId)
    return output
  }
  const original: unknown = Reflect.get(backend, 'readSync')
  const readSync = (id: Id): unknown => {
    const { resource, values } = backend.tensorMap.get(id)
    if ((values ?? null) !== null)
      return typeof original === 'function' ? Reflect.apply(original, backend, [id]) : values
    const length: unknown = typeof resource === 'object' && resource !== null ? Reflect.get(resource, 'size') : 0
    const bytes = typeof length === 'number' ? length : 0
    read.bytes += bytes
    return new Float32Array(bytes / 4)
  }
  Reflect.set(backend, 'runWebGPUProgram', shader)
  Reflect.set(backend, 'readSync', readSync)

  /** Arrays that the host made, by the kernel that did, until the device reads them. */
  const made = new Map<Id, { readonly kernel: string; readonly bytes: number }>()
  const watch: Watch = ({ kernel }, held, call) => {
    read.bytes = 0
    const inputs = held.map(tensorOf)
    const result = call()
    const output = tensorOf(result)
    const isNew = inputs.every(({ dataId }) => dataId !== output.dataId)
    const byHost = isNew && !onDevice(output)
    if (byHost) made.set(output.dataId, { kernel, bytes: bytesOf(output) })
    if (byHost || read.bytes > 0) {
      of(kernel).nodes += 1
      of(kernel).toHost += read.bytes
    }
    for (const { dataId } of inputs) {
      const from = made.get(dataId)
      if (from === undefined || !onDevice({ dataId, shape: [] })) continue
      of(from.kernel).toDevice += from.bytes
      made.delete(dataId)
    }
    return result
  }
  return {
    watch,
    /** Of those that stay, what the host made must yet go to the device. */
    leaving: (staying: readonly Held[]): readonly Leaving[] => {
      for (const { dataId } of staying.map(tensorOf)) {
        const from = made.get(dataId)
        if (from !== undefined) of(from.kernel).toDevice += from.bytes
      }
      return [...tallies].map(([op, tally]) => ({ op, ...tally })).sort((a, b) => (a.op < b.op ? -1 : 1))
    },
    forget: () => {
      tallies.clear()
      made.clear()
    },
    done: () => {
      Reflect.deleteProperty(backend, 'runWebGPUProgram')
      Reflect.deleteProperty(backend, 'readSync')
    },
  }
}
