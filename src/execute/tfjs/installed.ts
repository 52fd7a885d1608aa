import type { Effect } from '../../error.ts'
import { gpuFacts, showGpuFacts } from '../gpu.ts'
import { readyOn } from '../tensorflow/ready.ts'
import { type JsBackend, loading, type Ready, remembered } from './backends.ts'

export type Backend = 'node-gpu' | 'node' | JsBackend
export const backends: readonly Backend[] = ['node-gpu', 'node', 'webgpu', 'wasm', 'cpu']

const ofPackages = loading({
  core: () => import('@tensorflow/tfjs-core'),
  load: (name) => import(name),
  gpus: async () => showGpuFacts(await gpuFacts()),
})
const ofTensorflow = remembered(readyOn)
/** TensorFlow that was set up, or a backend of the packages that are installed for Node. */
export const load = (name: Backend): Effect<Ready> =>
  name === 'node' || name === 'node-gpu' ? ofTensorflow(name) : ofPackages(name)
