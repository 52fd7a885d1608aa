import { nodeFlops } from '../graph/cost.ts'
import { type Graph, nodeAt } from '../graph/graph.ts'
import { viewOps } from '../graph/ops.ts'
import { withOutputs } from '../transform/index.ts'
import { partition } from './partition.ts'

/** Leaves, and other shapes and orders of them: cheap enough to be in every part that reads them. */
const isShared = (g: Graph): readonly boolean[] => {
  const shared: boolean[] = []
  g.nodes.forEach(({ op, operands }, i) => {
    shared[i] =
      operands.length === 0 || ((viewOps.has(op) || op === 'transpose') && operands.every((o) => shared[o] === true))
  })
  return shared
}

/** Nodes that hang together: the outputs among them, and their work. Outputs that are leaves are of one component. */
interface Component {
  readonly outputs: Record<string, number>
  flops: number
}
const componentsOf = (g: Graph): readonly Component[] => {
  const shared = isShared(g)
  const { rootOf, join } = partition()
  g.nodes.forEach(({ operands }, i) => {
    for (const o of operands) if (shared[o] !== true) join(o, i)
  })
  const components = new Map<number, Component>()
  for (const [name, i] of Object.entries(g.outputs)) {
    const root = nodeAt(g, i).operands.length === 0 ? -1 : rootOf(i)
    const of = components.get(root) ?? { outputs: {}, flops: 0 }
    of.outputs[name] = i
    components.set(root, of)
  }
  // What is shared costs nothing.
  g.nodes.forEach((n, i) => {
    const of = shared[i] === true ? undefined : components.get(rootOf(i))
    if (of !== undefined) of.flops += nodeFlops(g, n)
  })
  return [...components.values()]
}

/** A part that does less than this much of the work is not worth a thread of its own. */
const leastShare = 0.2

/**
 * A graph as at most `most` graphs that have nothing but leaves in common, about equally much work each; itself where it hangs
 * together. Parts share out the outputs.
 */
export const independentParts = (g: Graph, most: number): readonly Graph[] => {
  if (most < 2) return [g]
  const work = componentsOf(g).toSorted((a, b) => b.flops - a.flops)
  const count = Math.min(most, work.filter(({ flops }) => flops > 0).length)
  const bins = Array.from({ length: count }, () => ({ outputs: {}, flops: 0 }))
  if (count < 2) return [g]
  for (const { outputs, flops } of work) {
    const least = bins.reduce((a, b) => (b.flops < a.flops ? b : a))
    Object.assign(least, { outputs: { ...least.outputs, ...outputs }, flops: least.flops + flops })
  }
  const total = work.reduce((sum, { flops }) => sum + flops, 0)
  return bins.every(({ flops }) => flops >= (leastShare * total) / bins.length)
    ? bins.map(({ outputs }) => withOutputs(outputs)(g))
    : [g]
}
