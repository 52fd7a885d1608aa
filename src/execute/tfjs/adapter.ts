import { type Adapter, describeAdapter, type Gpu, gpuOfDawn, isGpu, property } from '../webgpu.ts'

/** A browser's own, or that of the npm package `webgpu` (Dawn), under the name where TensorFlow.js looks. */
const provided = async (load: (name: string) => Promise<unknown>): Promise<Gpu> => {
  const own = property(property(globalThis, 'navigator'), 'gpu')
  if (isGpu(own)) return own
  const dawn = await load('webgpu')
  const gpu = gpuOfDawn(dawn)
  if (gpu === undefined) throw new Error('the package webgpu gives no GPU object')
  Object.assign(globalThis, property(dawn, 'globals'))
  const known = property(globalThis, 'navigator')
  const navigator = typeof known === 'object' && known !== null ? known : {}
  Object.defineProperty(navigator, 'gpu', { value: gpu, configurable: true })
  if (navigator !== known)
    Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true, writable: true })
  return gpu
}

/** The adapter that TensorFlow.js will find; undefined where there is none. */
export const findAdapter = async (load: (name: string) => Promise<unknown>): Promise<Adapter | undefined> =>
  describeAdapter(await (await provided(load)).requestAdapter())

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
