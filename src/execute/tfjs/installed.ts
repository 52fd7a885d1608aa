import { gpuFacts, showGpuFacts } from '../gpu.ts'
import { loading } from './backends.ts'

/** Backends of the packages that are installed for Node. */
export const load = loading({
  core: () => import('@tensorflow/tfjs-core'),
  load: (name) => import(name),
  gpus: async () => showGpuFacts(await gpuFacts()),
})
