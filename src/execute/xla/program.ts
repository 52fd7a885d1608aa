import { feedName, feedTypes, type Graph, isNode, type Node, type NodeOf, nodeAt } from '../../graph/graph.ts'
import type { OpKind } from '../../graph/ops.ts'
import { postorder } from '../../graph/order.ts'
import type { TensorType } from '../../graph/types.ts'
import { atOnce, inTurns } from '../breath.ts'
import { placeOf } from '../check-graph.ts'
import type { Carry } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { isOfNone } from '../none.ts'
import { type Laid, plain, rowMajor } from './laid.ts'
import { lowerings } from './lower.ts'
import { constant, type Line, typeText, type Writer, writing } from './text.ts'

/** A graph as StableHLO, and in which order it takes and gives arrays. */
export interface Program {
  readonly text: string
  /** Of each line of the text the node that it is for. */
  readonly places: readonly string[]
  readonly arguments: readonly string[]
  readonly outputs: readonly string[]
  /** Arguments, and outputs, of which each device has a part of the first axis; of all others each has the whole. */
  readonly sharded: { readonly arguments: ReadonlySet<string>; readonly outputs: ReadonlySet<string> }
  readonly types: { readonly arguments: Types; readonly outputs: Types }
}

type Inner = NodeOf<Exclude<OpKind, 'input' | 'parameter' | 'noise'>>
const isInner = (n: Node): n is Inner => feedName(n) === undefined
const typed = ({ line: { type }, shape }: Laid): { readonly type: TensorType } => ({ type: { ...type, shape } })
const lowered = <K extends Inner['op']>(w: Writer, { op, attributes, type }: NodeOf<K>, all: readonly Laid[]): Laid => {
  const last = all.at(-1) ?? rowMajor({ name: '', type })
  const [a = last, b = last, c = last] = all
  if (isOfNone(type, all.map(typed))) return rowMajor(constant(w, type, [0]))
  return lowerings[op](w, attributes, [a, b, c], type, all)
}

const attributesOf = (of: Readonly<Record<string, string>>): string => {
  const all = Object.entries(of).map(([name, value]) => `${name} = ${value}`)
  return all.length === 0 ? '' : ` {${all.join(', ')}}`
}

/**
 * How a program is shared out: among so many devices, of which each has all of some leaves, and of what is carried and not learnt all or a
 * part: pictures that are being drawn, the state of an optimiser (ZeRO-1, Rajbhandari et al. 2020).
 */
export interface Sharing {
  readonly devices: number
  readonly whole: ReadonlySet<string>
  readonly carried: 'whole' | 'parts'
}
const alone: Sharing = { devices: 1, whole: new Set(), carried: 'whole' }
const learnt = (n: Node): boolean => isNode('parameter')(n) && n.attributes.trainable
/**
 * Leaves along whose first axis the devices divide: of those that are fed anew at every step (pictures, noise, times) all; of carried ones those
 * that are not learnt, where each device has a part of them. Parameters and what is held are whole.
 */
const shardedIn = (
  graph: Graph,
  { devices, whole, carried }: Sharing,
  carriedLeaves: ReadonlySet<string>,
): ReadonlySet<string> =>
  new Set(
    graph.nodes.flatMap((n) => {
      const name = feedName(n)
      const [first = 0] = n.type.shape
      if (name === undefined || devices === 1 || first === 0 || first % devices !== 0) return []
      const isCut = carriedLeaves.has(name)
        ? carried === 'parts' && !learnt(n)
        : n.op !== 'parameter' && !whole.has(name)
      return isCut ? [name] : []
    }),
  )
const sharding = ({ shape }: TensorType, isSharded: boolean): string =>
  `#sdy.sharding<@mesh, [${shape.map((_, i) => (isSharded && i === 0 ? '{"batch"}' : '{}')).join(', ')}]>`

/** The text of a graph, node after node; what an output is carried into is given up for it. */
function* written(graph: Graph, carry: Carry, sharing: Sharing): Generator<void, Program> {
  const outputs = Object.keys(graph.outputs)
  const reached = postorder(Object.values(graph.outputs), (i) => nodeAt(graph, i).operands)
  yield
  const given = new Set([...reached.flatMap((i) => feedName(nodeAt(graph, i)) ?? []), ...Object.values(carry)])
  yield
  const leaves = feedTypes(graph)
  yield
  const types = Object.fromEntries(Object.entries(leaves).filter(([name]) => given.has(name)))
  const names = Object.keys(types)
  const arrays = new Map(
    names.map((name, i): [string, Laid] => [name, rowMajor({ name: `%a${i}`, type: types[name] ?? unknown(name) })]),
  )
  const w = writing()
  const values = new Map<number, Laid>()
  const valueAt = (i: number): Laid => values.get(i) ?? unknown(String(i))
  for (const index of reached) {
    const n = nodeAt(graph, index)
    yield
    w.at(placeOf(n, index))
    const name = feedName(n)
    values.set(
      index,
      name === undefined && isInner(n)
        ? lowered(w, n, n.operands.map(valueAt))
        : (arrays.get(name ?? '') ?? unknown(n.op)),
    )
  }
  const results: Line[] = []
  for (const name of outputs) {
    yield
    w.at(name)
    results.push(plain(w, valueAt(graph.outputs[name] ?? -1)))
  }
  const places = new Map(outputs.map((name, i) => [name, i]))
  const replacedBy = new Map(Object.entries(carry).map(([output, leaf]) => [leaf, places.get(output)]))
  const sharded = shardedIn(graph, sharing, new Set(Object.values(carry)))
  yield
  const shardedOutputs = new Set(outputs.filter((name) => sharded.has(carry[name] ?? '')))
  const isShared = sharing.devices > 1
  const parameters: string[] = []
  for (const name of names) {
    yield
    const { name: own, type } = (arrays.get(name) ?? unknown(name)).line
    const output = replacedBy.get(name)
    parameters.push(
      `${own}: ${typeText(type)}${attributesOf({
        ...(output === undefined ? {} : { 'tf.aliasing_output': `${output} : i32` }),
        ...(isShared ? { 'sdy.sharding': sharding(type, sharded.has(name)) } : {}),
      })}`,
    )
  }
  const resultTypes = results.map(({ type }) => typeText(type)).join(', ')
  const ends = results.length === 0 ? 'return' : `return ${results.map((r) => r.name).join(', ')} : ${resultTypes}`
  const resultsText = results
    .map(({ type }, i) => {
      const isSharded = shardedOutputs.has(outputs[i] ?? '')
      return `${typeText(type)}${attributesOf(isShared ? { 'sdy.sharding': sharding(type, isSharded) } : {})}`
    })
    .join(', ')
  yield
  const head = [
    'module @latentgraph {',
    ...(isShared ? [`sdy.mesh @mesh = <["batch"=${sharing.devices}]>`] : []),
    `func.func @main(${parameters.join(', ')}) -> (${resultsText}) {`,
  ]
  return {
    text: `${head.join('\n')}\n${w.text()}${ends}\n}\n}\n`,
    places: [...head.map(() => ''), ...w.places],
    arguments: names,
    outputs,
    sharded: { arguments: sharded, outputs: shardedOutputs },
    types: {
      arguments: types,
      outputs: Object.fromEntries(outputs.map((name, i) => [name, results[i]?.type ?? unknown(name)])),
    },
  }
}
/** The text of a graph. Pure. */
export const programOf = (graph: Graph, carry: Carry, sharing: Sharing = alone): Program =>
  atOnce(written(graph, carry, sharing))
/** The same, while others have turns. */
export const programInTurns = (graph: Graph, carry: Carry, sharing: Sharing = alone): Promise<Program> =>
  inTurns(written(graph, carry, sharing))
const unknown = (what: string): never => {
  throw new Error(`${what} was not reached`)
}
