import type { Executor } from '../executor.ts'
import { executorOn } from './executor.ts'
import { runtime } from './native.ts'

/** Devices of onnxruntime-node. */
export type Device = 'cpu' | 'webgpu'

/**
 * Runs graphs on ONNX Runtime. `cpu` is its multi-threaded CPU provider, `webgpu` its WebGPU provider (Vulkan,
 * Metal or D3D12), which falls back on the CPU op by op. A run blocks the event loop until it is done.
 *
 * Errors: `compile` where the runtime or the device is missing, or refuses the graph; `run` where feeds do not fit.
 */
export const onnx = (device: Device): Executor => executorOn(device, runtime)
export { type Available, available } from './available.ts'
