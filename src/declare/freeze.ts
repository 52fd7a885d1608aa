import { type Checked, failure, type LatentError } from '../error.ts'
import type { Graph, Node } from '../graph/graph.ts'
import { postorder } from '../graph/order.ts'
import { type Shape, sameType, showType } from '../graph/types.ts'
import { E } from '../prelude.ts'
import { parting } from './place.ts'
import { apply, isTensor, type Tensor } from './tensor.ts'

/** Every expression below the roots once, operands before users. Iterative: depth grows with the model. */
export const topological = (roots: readonly Tensor[]): readonly Tensor[] => postorder(roots, (x) => x.args)

const [isInput, isParameter, isNoise] = [isTensor('input'), isTensor('parameter'), isTensor('noise')]
/** The name of a leaf that is fed. */
export const leafName = (x: Tensor): string | undefined =>
  isInput(x) || isParameter(x) || isNoise(x) ? x.attributes.name : undefined

/** The leaf by the same name, of another shape; undefined for what is no leaf. */
export const leafOfShape = (x: Tensor, shape: Shape): Tensor | undefined =>
  isInput(x)
    ? apply('input', { ...x.attributes, type: { ...x.type, shape } }, [], x.scope)
    : isParameter(x)
      ? apply('parameter', { ...x.attributes, shape }, [], x.scope)
      : isNoise(x)
        ? apply('noise', { ...x.attributes, shape }, [], x.scope)
        : undefined

/** A leaf, and an earlier one of the same name. */
type Pair = readonly [earlier: Tensor, x: Tensor]
const namesakes = (order: readonly Tensor[]): readonly Pair[] => {
  const seen = new Map<string | undefined, Tensor>()
  const pairs: Pair[] = []
  for (const x of order) {
    const name = leafName(x)
    const earlier = seen.get(name)
    if (name !== undefined && earlier === undefined) seen.set(name, x)
    if (earlier !== undefined) pairs.push([earlier, x])
  }
  return pairs
}

const conflict = ([earlier, x]: Pair): readonly LatentError[] =>
  earlier.op === x.op && sameType(earlier.type, x.type)
    ? []
    : [
        failure(
          'graph',
          leafName(x) ?? '',
          `${earlier.op} ${showType(earlier.type)}, as declared before`,
          `${x.op} ${showType(x.type)}`,
          'give one of them another name or scope',
        ),
      ]

/** Layers that have their parameters' names in common by chance: one error for each two places. */
const chance = (pairs: readonly Pair[]): readonly LatentError[] => {
  const meetings = new Map<string, { readonly where: string; readonly names: string[] }>()
  for (const [a, b] of pairs) {
    if (a.place === undefined || b.place === undefined) continue
    const [first, second] = parting(a.place, b.place) ?? []
    const where = first === undefined ? '' : first === second ? `, both at ${first}` : `, at ${first} and at ${second}`
    const meeting = meetings.get(where) ?? { where, names: [] }
    meeting.names.push(leafName(b) ?? '')
    meetings.set(where, meeting)
  }
  return [...meetings.values()].map(({ where, names: [name = '', ...more] }) =>
    failure(
      'graph',
      name,
      'one layer with a parameter of this name',
      `two${where}${more.length === 0 ? '' : `; they have ${more.length + 1} names in common`}`,
      'give one of them another scope; to share weights, apply one layer twice: shared(layer) where it is your own',
    ),
  )
}

const conflicts = (order: readonly Tensor[], sharing: Sharing): readonly LatentError[] => {
  const pairs = namesakes(order)
  const unlike = pairs.flatMap(conflict)
  return unlike.length > 0 || sharing === 'by name' ? unlike : chance(pairs)
}

/**
 * Which layers have an array in common: those that were applied more than once, or all that have a parameter of one name, where a file
 * or a law gives arrays by their names.
 */
export type Sharing = 'by layer' | 'by name'

/** Freezes expressions into a graph. All root causes of all shape faults are returned side by side. */
export const freeze = (
  outputs: Readonly<Record<string, Tensor>>,
  { sharing = 'by layer' }: { readonly sharing?: Sharing } = {},
): Checked<Graph> => {
  const order = topological(Object.values(outputs))
  const faults = order.flatMap((x) => (x.fault === undefined || x.fault === 'inherited' ? [] : [x.fault]))
  const [first, ...rest] = faults.length > 0 ? faults : conflicts(order, sharing)
  if (first !== undefined) return E.left([first, ...rest])
  const position = new Map(order.map((x, i) => [x, i]))
  const locate = (x: Tensor): number => position.get(x) ?? -1
  const nodes = order.map(
    ({ op, attributes, args, type, scope }): Node => ({ op, attributes, operands: args.map(locate), type, scope }),
  )
  return E.right({
    nodes,
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, x]) => [name, locate(x)])),
  })
}

/** What stands for a node over what stands for its operands; `again` is the node itself over these. */
export type Standing = (node: Node, args: readonly Tensor[], again: () => Tensor, index: number) => Tensor

/** Rebuilds a graph as expressions, `rule` choosing what stands for each node. */
export const rewrite = (g: Graph, rule: Standing): Readonly<Record<string, Tensor>> => {
  const built: Tensor[] = []
  const isTypedAlike = ({ type, fault }: Tensor, of: Node | undefined): boolean =>
    fault === undefined && of !== undefined && (type === of.type || sameType(type, of.type))
  g.nodes.forEach((node, index) => {
    const args = node.operands.map((o) => built[o] ?? missing(o))
    const again = (): Tensor =>
      args.every((arg, i) => isTypedAlike(arg, g.nodes[node.operands[i] ?? -1]))
        ? typed(node, args)
        : rebuild(node, args)
    built.push(rule(node, args, again, index))
  })
  return Object.fromEntries(Object.entries(g.outputs).map(([name, i]) => [name, built[i] ?? missing(i)]))
}
const missing = (i: number): never => {
  throw new Error(`graph refers to node ${i} before it stands`)
}

/** The node over arguments of the types of its operands, of which its type is known. */
const typed = ({ op, attributes, type, scope }: Node, args: readonly Tensor[]): Tensor => {
  const { shape } = type
  return { op, attributes, args, type, shape, scope, fault: undefined }
}
/** The node again, over other arguments. */
export const rebuild = (node: Node, args: readonly Tensor[]): Tensor =>
  apply(node.op, node.attributes, args, node.scope)

/** A graph as expressions: what `freeze` made, to go on building with. */
export const thaw = (g: Graph): Readonly<Record<string, Tensor>> => rewrite(g, (_, __, again) => again())

/** Freezes expressions that came from a graph that was already sound; a fault here is a bug. */
export const refreeze = (outputs: Readonly<Record<string, Tensor>>): Graph => {
  const frozen = freeze(outputs)
  if (E.isLeft(frozen)) throw new Error(`a transform broke a graph: ${JSON.stringify(frozen.left)}`)
  return frozen.right
}
