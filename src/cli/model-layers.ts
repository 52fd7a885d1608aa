import { nodeFlops } from '../graph/cost.ts'
import { feedName, type Graph, isNode, type Node } from '../graph/graph.ts'
import { type OpKind, viewOps } from '../graph/ops.ts'
import type { Shape } from '../graph/types.ts'
import type { NamedShape } from './blocks.ts'

/** A network as its layers and who reads whom, found in its graph: a layer is what its parameters' names have before the last dot. */

/** What stands at an end of a network: a leaf that is fed, or an output. */
export interface End {
  readonly name: string
  readonly shape: Shape
}
export interface Layer {
  /** `encoder.down.0.block.0.conv1`; of what several layers have in common, what their names have in common. */
  readonly name: string
  readonly parameters: readonly NamedShape[]
  readonly flops: number
  /** Of what leaves it last. */
  readonly shape: Shape
  readonly ops: readonly OpKind[]
}
/** `from` and `to` are names of layers, or of ends: `in:pixels`, `out:prediction`. */
export interface Read {
  readonly from: string
  readonly to: string
}
export interface Layers {
  readonly inputs: readonly End[]
  /** In the order in which they are done. */
  readonly layers: readonly Layer[]
  readonly outputs: readonly End[]
  readonly reads: readonly Read[]
}

export const inputEnd = (name: string): string => `in:${name}`
export const outputEnd = (name: string): string => `out:${name}`

const parentOf = (name: string): string => name.split('.').slice(0, -1).join('.')

interface Growing {
  parameters: Map<string, NamedShape>
  flops: number
  shape: Shape
  last: number
  ops: OpKind[]
}
/** Where the numbers of a node come from: the layer that it is in, or, where it is in none, whoever it reads. */
interface Place {
  readonly layer: string | undefined
  readonly sources: readonly string[]
  /** Of numbers that come of parameters alone, these: they are in whatever layer reads them. */
  readonly parameters: readonly string[]
}
const nowhere: Place = { layer: undefined, sources: [], parameters: [] }

const union = (all: readonly (readonly string[])[]): readonly string[] => [...new Set(all.flat())]

/** The layers of a graph, its inputs and outputs. Pure. */
export const layersOf = (g: Graph): Layers => {
  const growing = new Map<string, Growing>()
  const reads = new Map<string, Read>()
  const places: Place[] = []
  const inputs = new Map<string, End>()
  const layerOf = (name: string): Growing => {
    const found = growing.get(name) ?? { parameters: new Map(), flops: 0, shape: [], last: -1, ops: [] }
    growing.set(name, found)
    return found
  }
  const finished = (name: string): number => growing.get(name)?.last ?? -1

  /** A node without parameters is in the layer that it reads and that was done last; of siblings, in what these are in. */
  const inherited = (node: Node, from: readonly Place[]): string | undefined => {
    const layers = union(from.map(({ layer }) => (layer === undefined ? [] : [layer])))
    const [latest] = layers.toSorted((a, b) => finished(b) - finished(a))
    if (latest === undefined || (node.op === 'concat' && layers.length > 1)) return undefined
    const parent = parentOf(latest)
    return layers.length > 1 && parent !== '' && layers.every((l) => parentOf(l) === parent || l === parent)
      ? parent
      : latest
  }
  const placed = (node: Node, i: number): Place => {
    const name = feedName(node)
    if (isNode('parameter')(node)) return { ...nowhere, parameters: [node.attributes.name] }
    if (name !== undefined) {
      inputs.set(name, { name, shape: node.type.shape })
      return { ...nowhere, sources: [inputEnd(name)] }
    }
    const from = node.operands.map((o) => places[o] ?? nowhere)
    const own = union(from.map(({ parameters }) => parameters))
    const [first] = own
    if (from.every(({ sources }) => sources.length === 0)) return { ...nowhere, parameters: own }
    const layer = first === undefined ? inherited(node, from) : parentOf(first) || first
    if (layer === undefined) return { ...nowhere, sources: union(from.map(({ sources }) => sources)) }
    const into = layerOf(layer)
    into.flops += nodeFlops(g, node)
    if (!viewOps.has(node.op) && node.op !== 'transpose') into.shape = node.type.shape
    if (first !== undefined || into.last < 0) into.last = i
    into.ops.push(node.op)
    for (const parameter of own) {
      const shape = shapes.get(parameter)
      if (shape !== undefined) into.parameters.set(parameter, { name: parameter, shape })
    }
    for (const source of union(from.map(({ sources }) => sources)))
      if (source !== layer) reads.set(`${source} ${layer}`, { from: source, to: layer })
    return { layer, sources: [layer], parameters: [] }
  }
  const shapes = new Map(
    g.nodes.flatMap((n) => (isNode('parameter')(n) ? [[n.attributes.name, n.attributes.shape] as const] : [])),
  )
  for (const [i, node] of g.nodes.entries()) places.push(placed(node, i))
  /** Such as counts that only training changes. */
  const unread = [...shapes].filter(([name]) => ![...growing.values()].some((l) => l.parameters.has(name)))
  for (const [name, shape] of unread) layerOf(parentOf(name) || name).parameters.set(name, { name, shape })
  const outputs = Object.entries(g.outputs).map(([name, i]) => ({ name, shape: g.nodes[i]?.type.shape ?? [] }))
  for (const [name, i] of Object.entries(g.outputs))
    for (const source of places[i]?.sources ?? [])
      reads.set(`${source} ${outputEnd(name)}`, { from: source, to: outputEnd(name) })
  return {
    inputs: [...inputs.values()],
    layers: [...growing]
      .toSorted(([, a], [, b]) => a.last - b.last)
      .map(([name, { parameters, last: _, ...rest }]) => ({ name, ...rest, parameters: [...parameters.values()] })),
    outputs,
    reads: [...reads.values()],
  }
}
