import { type Graph, isNode, type Node, nodeAt, readersIn } from '../../graph/graph.ts'
import { families, type OpKind } from '../../graph/ops.ts'
import { sameType } from '../../graph/types.ts'
import type { Carry } from '../executor.ts'

/** Ops that may write where they read: each element depends on the elements at its own place alone. */
const elementwise: readonly OpKind[] = families.arithmetic

/** How far above the result the readers of the old value are looked for; an optimiser's slots need 2. */
const reach = 3

const nearAncestors = (g: Graph, from: number): ReadonlySet<number> => {
  const found = new Set([from])
  let ring = [from]
  for (let i = 0; i < reach; i++) {
    ring = ring.flatMap((n) => nodeAt(g, n).operands.filter((o) => !found.has(o)))
    for (const n of ring) found.add(n)
  }
  return found
}

/**
 * The carried outputs that can be written over the leaves they replace, so that they need no second buffer: results of
 * an elementwise op, all readers of whose leaf have run by then. Optimiser slots and averages are such; weights are
 * not, for a convolution's input gradient may still read them.
 */
export const writableInPlace = (g: Graph, carry: Carry): ReadonlySet<string> => {
  const readers = readersIn(g)
  const leaves = new Map<string, number[]>()
  g.nodes.forEach((n: Node, i) => {
    if (isNode('parameter')(n) || isNode('input')(n)) {
      const { name } = n.attributes
      leaves.set(name, [...(leaves.get(name) ?? []), i])
    }
  })
  const outputs = new Set(Object.values(g.outputs))
  return new Set(
    Object.entries(carry).flatMap(([output, leaf]) => {
      const result = g.outputs[output]
      const [source, ...others] = leaves.get(leaf) ?? []
      if (result === undefined || source === undefined || others.length > 0 || outputs.has(source)) return []
      const node = nodeAt(g, result)
      const before = nearAncestors(g, result)
      const safe =
        elementwise.includes(node.op) &&
        sameType(node.type, nodeAt(g, source).type) &&
        (readers[source] ?? []).every((r) => before.has(r))
      return safe ? [output] : []
    }),
  )
}
