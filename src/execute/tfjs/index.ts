import type { Executor } from '../executor.ts'
import { executorOn } from './executor.ts'
import { type Backend, load } from './installed.ts'

/**
 * Runs graphs on TensorFlow, which the user adds, or on a backend of TensorFlow.js, which is an optional peer: a GPU by CUDA through
 * `node-gpu` or by any driver through `webgpu`, the CPU through `node`, `wasm` or plain JavaScript. A run blocks the event loop
 * until it is done: calls are synchronous, of `webgpu` all but the reading of results.
 *
 * Errors: `compile` where the backend is absent or has no GPU, or lacks a kernel that the graph needs; `run` where feeds
 * do not fit.
 */
export const tfjs = (backend: Backend): Executor => executorOn(`tfjs:${backend}`, load(backend))
export { look, lookForGpu } from './found.ts'
export { type Backend, backends } from './installed.ts'
