import { nodeFlops } from '../../graph/cost.ts'
import { type Graph, isNode, nodeAt } from '../../graph/graph.ts'
import { type Explained, withShares } from '../explain.ts'
import { measured, type Pace } from './costs.ts'
import { iterations } from './loop.ts'
import type { Instruction, Plan, PrimitiveInstruction } from './plan.ts'
import { rangesOf } from './schedule.ts'

const isProduct = (g: Graph, { node }: Instruction): boolean =>
  ['conv2d', 'convInputGrad', 'convWeightGrad', 'matmul'].includes(nodeAt(g, node).op)

/** The larger of computing and of going through memory, on as many threads as there are pieces for. */
const millisecondsOf = (g: Graph, plan: Plan, i: Instruction, pace: Pace, threads: number): number => {
  const touched = [...i.reads, ...i.writes].reduce((sum, b) => sum + (plan.buffers[b] ?? 0), 0)
  const moving = touched / pace.bytes
  if (i.kind === 'host') return pace.call + moving
  if (i.kind === 'loop') {
    const computing = (iterations(i.loop) * (i.loop.steps.length + 1)) / 4 / pace.steps
    return pace.call + Math.max(moving, computing) / rangesOf(i.loop, threads).length
  }
  const flops = isNode('convWeightGrad')(nodeAt(g, i.node)) ? pace.weightGradientFlops : pace.flops
  const computing = isMultiplying(g, i) ? nodeFlops(g, nodeAt(g, i.node)) / flops : 0
  return pace.call + Math.max(moving, computing) / Math.min(threads, i.pieces.length)
}
/** Whether a primitive is a node's product, rather than what brings an operand of it into order. */
const isMultiplying = (g: Graph, i: Instruction): i is PrimitiveInstruction =>
  i.kind === 'primitive' && isProduct(g, i) && i.does === 'product'

/** How the result lies: by name where it is a picture's, else whether its own axes lie in order. */
const layoutOf = (i: Instruction): string => {
  if (i.kind !== 'loop') return i.kind === 'host' ? 'row-major' : 'strided'
  return i.loop.results.every(({ steps }) => steps.at(i.loop.vector) === 1) ? 'contiguous' : 'strided'
}

/** The plan of a graph, instruction by instruction; what runs once is left out. */
export const explained = (g: Graph, plan: Plan, threads: number, pace: Pace = measured): readonly Explained[] =>
  withShares(
    plan.each.map((i) => {
      const { op, scope, type } = nodeAt(g, i.node)
      const isOwn = i.kind !== 'primitive' || isMultiplying(g, i)
      const isPicture = type.shape.length === 4 && isOwn && op !== 'convWeightGrad' && i.kind === 'primitive'
      return {
        node: scope === '' ? '(root)' : scope,
        op: isOwn ? op : `reorder for ${op}`,
        algorithm: i.algorithm,
        layout: isPicture && op !== 'matmul' ? 'nhwc' : layoutOf(i),
        milliseconds: millisecondsOf(g, plan, i, pace, threads),
      }
    }),
  )
