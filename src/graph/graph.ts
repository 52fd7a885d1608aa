import type { Attributes, OpKind } from './ops.ts'
import type { TensorType } from './types.ts'

/** A node refers to its operands by their position in `Graph.nodes`, always before its own. */
export interface NodeOf<K extends OpKind> {
  readonly op: K
  readonly attributes: Attributes[K]
  readonly operands: readonly number[]
  readonly type: TensorType
  /** Where it was declared, as a parameter-name prefix: `decoder.up.1.block.0.conv1`. */
  readonly scope: string
}
/** A node of a graph: an op, attributes, the places of its operands, its type, its scope. */
export type Node = NodeOf<OpKind>
export const isNode =
  <K extends OpKind>(op: K) =>
  (n: Node): n is NodeOf<K> =>
    n.op === op

/** The frozen form of a computation: nodes in SSA order, outputs by name. Plain data. */
export interface Graph {
  readonly nodes: readonly Node[]
  readonly outputs: Readonly<Record<string, number>>
}

/** As JSON, but that -0 is not 0. */
export const exactText = (x: unknown): string => JSON.stringify(x, (_, part) => (Object.is(part, -0) ? '-0' : part))

const attributesOf =
  <K extends OpKind>(op: K) =>
  (g: Graph): readonly Attributes[K][] =>
    g.nodes.filter(isNode(op)).map((n) => n.attributes)

/** The leaves of each kind, in order of first appearance. */
export const inputs = attributesOf('input')
/** The parameters of a graph: name, shape, initialiser, whether trained. */
export const parameters = attributesOf('parameter')
/** The noise leaves of a graph: name, shape, distribution. */
export const noises = attributesOf('noise')

export const nodeAt = (g: Graph, i: number): Node => {
  const node = g.nodes[i]
  if (node === undefined) throw new Error(`graph has no node ${i}`)
  return node
}
export const operandTypes = (g: Graph, n: Node): readonly TensorType[] => n.operands.map((i) => nodeAt(g, i).type)

/** Of each node the nodes that read it, in order, one that reads it twice as often. */
export const readersIn = (g: Graph): readonly (readonly number[])[] => {
  const readers: number[][] = g.nodes.map(() => [])
  g.nodes.forEach(({ operands }, i) => {
    for (const o of operands) readers[o]?.push(i)
  })
  return readers
}

/** The name under which a leaf is fed; undefined for every other node. */
export const feedName = (n: Node): string | undefined =>
  isNode('input')(n) || isNode('parameter')(n) || isNode('noise')(n) ? n.attributes.name : undefined

/** What must be fed to run the graph: name -> type, over inputs, parameters and noise. */
export const feedTypes = (g: Graph): Readonly<Record<string, TensorType>> =>
  Object.fromEntries(
    g.nodes.flatMap((n) => {
      const name = feedName(n)
      return name === undefined ? [] : [[name, n.type] as const]
    }),
  )
/** The types of a graph's outputs, by name. */
export const outputTypes = (g: Graph): Readonly<Record<string, TensorType>> =>
  Object.fromEntries(Object.entries(g.outputs).map(([name, i]) => [name, nodeAt(g, i).type]))
