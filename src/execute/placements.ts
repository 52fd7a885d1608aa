import { TE } from '../prelude.ts'
import type { ExecutorName } from './names.ts'
import { webgpuPlacement } from './onnx/placement.ts'
import type { Placing } from './placement.ts'
import { tfjsPlacement } from './tfjs/placement.ts'

/** The device is the host's own memory. */
const host: Placing = ({ nodes }) => TE.right({ nodes: nodes.length, leaving: [] })

/** Of every executor and device, what `doctor --ops` shows. */
export const placements: { readonly [N in Exclude<ExecutorName, 'onnx'>]: Placing } = {
  reference: host,
  'onnx:cpu': host,
  onednn: host,
  'onnx:webgpu': webgpuPlacement,
  'tfjs:node-gpu': tfjsPlacement('node-gpu'),
  'tfjs:node': tfjsPlacement('node'),
  'tfjs:webgpu': tfjsPlacement('webgpu'),
  'tfjs:wasm': tfjsPlacement('wasm'),
  'tfjs:cpu': tfjsPlacement('cpu'),
}
