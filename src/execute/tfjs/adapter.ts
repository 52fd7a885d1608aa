import { isSoftwareAdapter } from '../software-adapter.ts'

/** What the program asks of WebGPU before TensorFlow.js does. */
interface Gpu {
  readonly requestAdapter: () => Promise<unknown>
}
const property = (x: unknown, name: string): unknown => {
  const found: unknown = typeof x === 'object' && x !== null && name in x ? Reflect.get(x, name) : undefined
  return found
}
const isGpu = (x: unknown): x is Gpu => typeof property(x, 'requestAdapter') === 'function'

/** A browser's own, or that of the npm package `webgpu` (Dawn), under the name where TensorFlow.js looks. */
const provided = async (load: (name: string) => Promise<unknown>): Promise<Gpu> => {
  const own = property(property(globalThis, 'navigator'), 'gpu')
  if (isGpu(own)) return own
  const dawn = await load('webgpu')
  const create = property(dawn, 'create')
  const gpu: unknown = typeof create === 'function' ? create([]) : undefined
  if (!isGpu(gpu)) throw new Error('the package webgpu gives no GPU object')
  Object.assign(globalThis, property(dawn, 'globals'))
  const known = property(globalThis, 'navigator')
  const navigator = typeof known === 'object' && known !== null ? known : {}
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true })
  if (navigator !== known)
    Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true, writable: true })
  return gpu
}

/** What an adapter says of itself. */
export interface Adapter {
  readonly description: string
  /** False where the processor plays the GPU (SwiftShader, llvmpipe, WARP). */
  readonly hardware: boolean
}

/** The adapter that TensorFlow.js will find; undefined where there is none. */
export const findAdapter = async (load: (name: string) => Promise<unknown>): Promise<Adapter | undefined> => {
  const gpu = await provided(load)
  const adapter = await gpu.requestAdapter()
  if (adapter === null || adapter === undefined) return undefined
  const info = property(adapter, 'info')
  const words = ['vendor', 'architecture', 'device', 'description'].flatMap((name) => {
    const word = property(info, name)
    return typeof word === 'string' && word !== '' ? [word] : []
  })
  const fallback = property(info, 'isFallbackAdapter') === true || property(adapter, 'isFallbackAdapter') === true
  const description = [...new Set(words)].join(', ')
  return { description, hardware: !fallback && !isSoftwareAdapter(description) }
}

/** Collects what the device of TensorFlow.js' backend reports of calls that failed; asking takes it away. */
export const faultsOf = (backend: object): (() => string | undefined) => {
  const device = property(backend, 'device')
  const listen = property(device, 'addEventListener')
  const seen: string[] = []
  if (typeof listen === 'function')
    Reflect.apply(listen, device, [
      'uncapturederror',
      (event: unknown) => {
        const message = property(property(event, 'error'), 'message')
        seen.push(typeof message === 'string' ? message : 'an error without words')
      },
    ])
  return () => seen.splice(0)[0]
}
