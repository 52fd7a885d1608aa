import type { Executor } from '../executor.ts'
import type { Backend } from './backends.ts'
import { executorOn } from './executor.ts'
import { load } from './installed.ts'

/**
 * Runs graphs on a backend of TensorFlow.js, which is an optional peer: CUDA through `node-gpu`, the CPU through
 * `node`, `wasm` or plain JavaScript, a GPU through `webgpu`.
 *
 * Errors: `compile` where the backend is absent or has no GPU, or lacks a kernel that the graph needs; `run` where feeds
 * do not fit.
 */
export const tfjs = (backend: Backend): Executor => executorOn(backend, load)
export { type Backend, backends } from './backends.ts'
export { look, lookForGpu } from './found.ts'
