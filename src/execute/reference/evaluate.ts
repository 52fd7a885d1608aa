import { type Checked, fail } from '../../error.ts'
import { type Graph, type Node, type NodeOf, nodeAt } from '../../graph/graph.ts'
import { roundings } from '../../graph/half.ts'
import type { OpKind } from '../../graph/ops.ts'
import { isHalf } from '../../graph/types.ts'
import { E } from '../../prelude.ts'
import type { Computed, Dense, Feeds } from './dense.ts'
import { kernels } from './kernels.ts'

/** What to run and what to forget: the nodes that outputs need, each with those whose last use it is. */
export interface Plan {
  readonly graph: Graph
  readonly steps: readonly { readonly index: number; readonly forget: readonly number[] }[]
}

/** One sweep from the outputs down: whatever is met for the first time is used there for the last time. */
export const plan = (graph: Graph): Plan => {
  const needed = new Set(Object.values(graph.outputs))
  const backwards = graph.nodes.flatMap((_, i) => {
    const index = graph.nodes.length - 1 - i
    if (!needed.has(index)) return []
    const forget = [...new Set(nodeAt(graph, index).operands)].filter((o) => !needed.has(o))
    for (const o of forget) needed.add(o)
    return [{ index, forget }]
  })
  return { graph, steps: backwards.reverse() }
}

const compute = <K extends OpKind>(
  { op, attributes, type }: NodeOf<K>,
  operands: readonly Dense[],
  feeds: Feeds,
): Computed => kernels[op](attributes, operands, type, feeds)

const where = ({ scope, op }: Node): string => `${scope === '' ? '(root)' : scope} (${op})`

/** Half precision is what a result is kept in; it is computed in float64 as all are. */
const stored = ({ type }: Node, data: Float64Array): Float64Array =>
  isHalf(type.dtype) ? data.map(roundings[type.dtype]) : data

/** Runs the nodes in order; stops at the first that these numbers leave without a result. */
export const evaluate = ({ graph, steps }: Plan, feeds: Feeds): Checked<Feeds> => {
  const held = new Map<number, Dense>()
  const recall = (i: number): Dense => {
    const x = held.get(i)
    if (x === undefined) throw new Error(`node ${i} was forgotten too early`)
    return x
  }
  for (const { index, forget } of steps) {
    const node = nodeAt(graph, index)
    const computed = compute(node, node.operands.map(recall), feeds)
    if (E.isLeft(computed)) return fail('run', where(node), computed.left.expected, computed.left.got)
    held.set(index, { type: node.type, data: stored(node, computed.right) })
    for (const i of forget) held.delete(i)
  }
  return E.right(Object.fromEntries(Object.entries(graph.outputs).map(([name, i]) => [name, recall(i)])))
}
