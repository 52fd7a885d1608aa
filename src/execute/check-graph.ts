import { type Checked, collect, type Effect, fail } from '../error.ts'
import { feedName, type Graph, type Node } from '../graph/graph.ts'
import { inferType } from '../graph/shape-rules.ts'
import { sameType, showType } from '../graph/types.ts'
import { E, pipe } from '../prelude.ts'
import { inTurns } from './breath.ts'

/** Where a node is, for people. */
export const placeOf = ({ scope, op }: Node, index: number): string =>
  `${scope === '' ? '(root)' : scope} (${op}, node ${index})`

const checkNode = ({ nodes }: Graph, node: Node, index: number): Checked<Node> => {
  const place = placeOf(node, index)
  const operands = node.operands.flatMap((i) => (i < index ? (nodes[i] ?? []) : []))
  if (operands.length !== node.operands.length)
    return fail('compile', place, `operands among the ${index} nodes before`, node.operands.join(', '))
  const inferred = inferType(
    node.op,
    node.attributes,
    operands.map((o) => o.type),
  )
  if (E.isLeft(inferred)) return fail('compile', place, inferred.left.expected, inferred.left.got, inferred.left.hint)
  return sameType(inferred.right, node.type)
    ? E.right(node)
    : fail('compile', place, showType(inferred.right), showType(node.type))
}

/** Arrays go by name in objects, where what every object has would stand for one that is not there. */
const checkName = (name: string): Checked<string> =>
  name in Object.prototype
    ? fail('compile', name, 'a name of its own for a leaf or an output', 'what every object of JavaScript has')
    : E.right(name)

/** Node after node. */
function* checking(g: Graph): Generator<void, Checked<Graph>> {
  const checked: Checked<unknown>[] = []
  for (const [i, n] of g.nodes.entries()) {
    checked.push(checkNode(g, n, i))
    const name = feedName(n)
    if (name !== undefined) checked.push(checkName(name))
    yield
  }
  for (const [name, i] of Object.entries(g.outputs)) {
    checked.push(checkName(name))
    if (g.nodes[i] === undefined)
      checked.push(fail('compile', name, `an output among ${g.nodes.length} nodes`, String(i)))
  }
  return pipe(
    collect(checked),
    E.map(() => g),
  )
}
/** A malformed program can abort the process, so a graph is believed only where its types can be inferred again. Others have turns meanwhile. */
export const checkGraph =
  (g: Graph): Effect<Graph> =>
  () =>
    inTurns(checking(g))
