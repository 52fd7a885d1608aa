import type { Effect } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { TE } from '../prelude.ts'
import type { Values } from './executor.ts'
import { webgpuPlacement } from './onnx/placement.ts'
import type { Placement, Resident } from './placement.ts'

/** Asks an executor where the nodes of a graph run; a `compile` error where its device is missing. */
export type Placing = (graph: Graph, resident: Resident, constants?: Values) => Effect<Placement>

/** The device is the host's own memory. */
const host: Placing = ({ nodes }) => TE.right({ nodes: nodes.length, leaving: [] })

/** Of every executor and device, what `doctor --ops` shows. */
export const placements: Readonly<Record<string, Placing>> = {
  reference: host,
  'onnx:cpu': host,
  'onnx:webgpu': webgpuPlacement,
}
