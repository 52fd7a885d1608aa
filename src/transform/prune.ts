import { type Graph, type Node, nodeAt } from '../graph/graph.ts'

/** The graph of other outputs, and of the nodes that these need; nodes keep their order. */
export const withOutputs =
  (outputs: Graph['outputs']) =>
  (g: Graph): Graph => {
    const needed = new Set(Object.values(outputs))
    for (let i = g.nodes.length - 1; i >= 0; i--)
      if (needed.has(i)) for (const o of nodeAt(g, i).operands) needed.add(o)
    const kept = [...needed].sort((a, b) => a - b)
    const place = new Map(kept.map((from, to) => [from, to]))
    const moved = (i: number): number => place.get(i) ?? -1
    return {
      nodes: kept.map((i): Node => {
        const { op, attributes, operands, type, scope } = nodeAt(g, i)
        return { op, attributes, operands: operands.map(moved), type, scope }
      }),
      outputs: Object.fromEntries(Object.entries(outputs).map(([name, i]) => [name, moved(i)])),
    }
  }

/** The graph of some of its outputs: whatever only the others needed is gone. */
export const prune =
  (keep: readonly string[]) =>
  (g: Graph): Graph =>
    withOutputs(Object.fromEntries(Object.entries(g.outputs).filter(([name]) => keep.includes(name))))(g)
