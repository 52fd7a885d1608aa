import type { Task } from '../../prelude.ts'
import type { Found } from '../decide.ts'
import type { Executor } from '../executor.ts'
import { findAdapter } from './adapter.ts'
import { type JsBackend, loading, Unfit } from './backends.ts'
import { executorOn } from './executor.ts'
import type { Core } from './tfjs-device.ts'

/** Backends of TensorFlow.js that run in a browser. */
export type WebBackend = JsBackend

/** TensorFlow.js, which the program loads. */
export interface Packages {
  /** `@tensorflow/tfjs-core` */
  readonly core: () => Promise<Core>
  /** `@tensorflow/tfjs-backend-webgpu`, `-wasm` or `-cpu`; where WebAssembly lies is told to it here. */
  readonly backend: () => Promise<unknown>
}

const withoutGpu = async (): Promise<never> => {
  throw new Unfit('a browser without WebGPU', 'another browser, a page over https, or a backend of the CPU')
}

/**
 * Runs graphs on a backend of TensorFlow.js in a browser.
 *
 *     tfjs('wasm', {
 *       core: () => import('@tensorflow/tfjs-core'),
 *       backend: () => import('@tensorflow/tfjs-backend-wasm'),
 *     })
 */
export const tfjs = (backend: WebBackend, packages: Packages): Executor =>
  executorOn(
    `tfjs:${backend}`,
    loading({ core: packages.core, load: (name) => (name === 'webgpu' ? withoutGpu() : packages.backend()) })(backend),
  )

/** The browser's own WebGPU adapter, and whether it is hardware. */
export const adapter: Task<Found & { readonly hardware: boolean }> = async () => {
  const found = await findAdapter(withoutGpu).catch(() => null)
  return found === null
    ? { usable: false, what: 'this browser has no WebGPU', hardware: false }
    : found === undefined
      ? { usable: false, what: 'no WebGPU adapter', hardware: false }
      : { usable: true, what: found.description, hardware: found.hardware }
}
