import { TE } from '../prelude.ts'
import type { ExecutorName } from './names.ts'
import { webgpuPlacement } from './onnx/placement.ts'
import type { Placing } from './placement.ts'
import { tfjsPlacement } from './tfjs/placement.ts'

/** The device is the host's own memory. */
const host: Placing = ({ nodes }) => TE.right({ nodes: nodes.length, leaving: [] })

/** A program is one on its device: the compiler takes all of it or refuses it. */
const whole: Placing = host

/** Of every executor and device, what `doctor --ops` shows. */
export const placements: { readonly [N in Exclude<ExecutorName, 'onnx'>]: Placing } = {
  reference: host,
  'onnx:cpu': host,
  onednn: host,
  'xla:cuda': whole,
  'xla:rocm': whole,
  'xla:tpu': whole,
  'xla:cpu': host,
  'onnx:webgpu': webgpuPlacement,
  'tfjs:node-gpu': tfjsPlacement('node-gpu'),
  'tfjs:node': tfjsPlacement('node'),
  'tfjs:webgpu': tfjsPlacement('webgpu'),
  'tfjs:wasm': tfjsPlacement('wasm'),
  'tfjs:cpu': tfjsPlacement('cpu'),
}
