/** What a program asks of WebGPU: a browser's own, or that of the npm package `webgpu` (Dawn). */
export interface Gpu {
  readonly requestAdapter: (options?: { readonly powerPreference: 'high-performance' }) => Promise<unknown>
}
export const property = (x: unknown, name: string): unknown => {
  const found: unknown = typeof x === 'object' && x !== null && name in x ? Reflect.get(x, name) : undefined
  return found
}
export const isGpu = (x: unknown): x is Gpu => typeof property(x, 'requestAdapter') === 'function'

/** The GPU object of the npm package `webgpu`, given its module; undefined where it gives none. */
export const gpuOfDawn = (dawn: unknown): Gpu | undefined => {
  const create = property(dawn, 'create')
  const gpu: unknown = typeof create === 'function' ? create([]) : undefined
  return isGpu(gpu) ? gpu : undefined
}

/** What an adapter says of itself. */
export interface Adapter {
  readonly description: string
  /** False where the processor plays the GPU: SwiftShader, Mesa's llvmpipe, Windows' WARP. */
  readonly hardware: boolean
}
const software = /swiftshader|llvmpipe|lavapipe|software|basic render|warp\b/i

/** Of what `requestAdapter` gave; undefined where there is none. Pure. */
export const describeAdapter = (adapter: unknown): Adapter | undefined => {
  if (adapter === null || adapter === undefined) return undefined
  const info = property(adapter, 'info')
  const words = ['vendor', 'architecture', 'device', 'description'].flatMap((name) => {
    const word = property(info, name)
    return typeof word === 'string' && word !== '' ? [word] : []
  })
  const fallback = property(info, 'isFallbackAdapter') === true || property(adapter, 'isFallbackAdapter') === true
  const description = [...new Set(words)].join(', ')
  return { description, hardware: !fallback && !software.test(description) }
}
