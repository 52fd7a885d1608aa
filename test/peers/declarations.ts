import type * as gpu from '@tensorflow/tfjs-node-gpu'
import type { NodeJSKernelBackend } from '@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js'
import type { Core } from '../../src/execute/tfjs/device.ts'

/** What the executor uses of TensorFlow.js, as the package itself declares it. */
type Used =
  | 'backend'
  | 'concat'
  | 'enableProdMode'
  | 'engine'
  | 'env'
  | 'getBackend'
  | 'getKernel'
  | 'setBackend'
  | 'tensor'

type Assignable<A, B> = A extends B ? true : never
/** The package gives what the executor is written for. */
export const core: Assignable<Pick<typeof gpu, Used>, Record<Used, unknown>> = true
export const calls: { readonly [K in Used]: Assignable<Parameters<Core[K]>, Parameters<(typeof gpu)[K]>> } = {
  backend: true,
  concat: true,
  enableProdMode: true,
  engine: true,
  env: true,
  getBackend: true,
  getKernel: true,
  setBackend: true,
  tensor: true,
}
/** Where the loader reads whether there is a GPU. */
export const device: Assignable<NodeJSKernelBackend['isUsingGpuDevice'], boolean> = true
