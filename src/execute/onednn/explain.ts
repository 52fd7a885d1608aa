import { isNode, nodeAt } from '../../graph/graph.ts'
import { type Explained, withShares } from '../explain.ts'
import { type Costs, measured } from './costs.ts'
import { iterations } from './loop.ts'
import { type Instruction, minimal, type Plan } from './plan.ts'
import { rangesOf } from './schedule.ts'

/** The larger of computing and of going through memory, on as many threads as there are pieces for. */
const millisecondsOf = (
  { graph, precisions, buffers }: Plan,
  i: Instruction,
  threads: number,
  costs: Costs,
): number => {
  const { pace } = costs
  const touched = [...new Set([...i.reads, ...i.writes])].reduce((sum, b) => sum + (buffers[b] ?? 0), 0)
  const moving = touched / pace.bytes
  if (i.kind === 'host') return pace.call + moving
  if (i.kind === 'loop') {
    const computing = (iterations(i.loop) * (i.loop.steps.length + 1)) / 4 / pace.steps
    return pace.call + Math.max(moving, computing) / rangesOf(i.loop, threads, costs).length
  }
  const isDirect = !i.algorithm.startsWith(minimal)
  const flops = isNode('convWeightGrad')(nodeAt(graph, i.node)) && isDirect ? pace.weightGradientFlops : pace.flops
  const gain = i.element === 'word' ? 1 : precisions[i.element].gain || 1
  return pace.call + Math.max(moving, i.flops / flops / gain) / Math.min(threads, i.pieces.length)
}

/** How the result lies: by name where it is a picture's, else whether its own axes lie in order. */
const layoutOf = (i: Instruction): string => {
  if (i.kind !== 'loop') return i.kind === 'host' ? 'row-major' : 'strided'
  return i.loop.results.every(({ steps }) => steps.at(i.loop.vector) === 1) ? 'contiguous' : 'strided'
}

/** The plan of a graph, instruction by instruction; what runs once is left out. */
export const explained = (plan: Plan, threads: number, costs: Costs = measured): readonly Explained[] =>
  withShares(
    plan.each.map((i) => {
      const { op, scope } = nodeAt(plan.graph, i.node)
      const isOwn = i.kind !== 'primitive' || i.does === 'product'
      const isDirect = i.kind === 'primitive' && isOwn && !i.algorithm.startsWith(minimal)
      const isPicture = isDirect && (op === 'conv2d' || op === 'convInputGrad')
      return {
        node: scope === '' ? '(root)' : scope,
        op: isOwn ? op : `reorder for ${op}`,
        algorithm: i.algorithm,
        layout: isPicture ? 'nhwc' : layoutOf(i),
        milliseconds: millisecondsOf(plan, i, threads, costs),
      }
    }),
  )
