import { feedName, type Graph, type Node, type NodeOf } from '../../graph/graph.ts'
import { halfBits } from '../../graph/half.ts'
import type { OpKind } from '../../graph/ops.ts'
import type { Value as ArrayValue, FileArray, FileArrays, Values } from '../executor.ts'
import { assemble, type ModelOutput } from './assemble.ts'
import { convolutionLowerings } from './convolution.ts'
import { type Costs, measured } from './costs.ts'
import { elementwiseLowerings } from './elementwise.ts'
import type { Lowered, LoweringTable, Site, Target } from './lowering.ts'
import { movementLowerings } from './movement.ts'
import { normalisationLowerings } from './normalisation.ts'
import { productLowerings } from './products.ts'
import type { Model } from './proto.ts'
import { isCheap } from './recompute.ts'
import { type Constant, cast, constantOf, knownShape, leaf, ofShape, reshaped, type Value } from './value.ts'

const table: LoweringTable = {
  input: ({ node }) => leaf(node.attributes.name),
  parameter: ({ node }) => leaf(node.attributes.name),
  noise: ({ node }) => leaf(node.attributes.name),
  ...elementwiseLowerings,
  ...movementLowerings,
  ...productLowerings,
  ...convolutionLowerings,
  ...normalisationLowerings,
}
const lowerNode = <K extends OpKind>(node: NodeOf<K>, operands: readonly Lowered[], target: Target): Value => {
  const site: Site<K> = { node, operands, target }
  return table[node.op](site)
}

/** `stopGradient`, `mark` and what is not worth recomputing cost nothing: their users read what they read. */
const isAlias = ({ op }: Node, of: Node | undefined): boolean =>
  op === 'stopGradient' || op === 'mark' || (op === 'recompute' && of !== undefined && !isCheap(of))

const countUses = (g: Graph): readonly number[] => {
  const source: number[] = []
  g.nodes.forEach((n, i) => {
    const from = source[n.operands[0] ?? i] ?? i
    source.push(isAlias(n, g.nodes[from]) ? from : i)
  })
  const uses = g.nodes.map(() => 0)
  const read = (i: number): void => {
    const from = source[i] ?? i
    uses[from] = (uses[from] ?? 0) + 1
  }
  g.nodes.forEach((n, i) => {
    if (source[i] === i) n.operands.forEach(read)
  })
  Object.values(g.outputs).forEach(read)
  return uses
}

/** What a graph is lowered for; the costs that were measured where none are given. */
export type LoweredFor = Omit<Target, 'costs'> & { readonly costs?: Costs }

/** The ONNX model of a graph whose types are true; leaves named in `constants` and `files` become initialisers. Pure. */
export const lower = (
  g: Graph,
  { costs = measured, ...rest }: LoweredFor,
  constants: Values = {},
  files: FileArrays = {},
): Model => {
  const target: Target = { ...rest, costs }
  const uses = countUses(g)
  const weights = new Map<string, Value>([
    ...Object.entries(constants).map(([name, v]) => [name, bake(v)] as const),
    ...Object.entries(files).map(([name, f]) => [name, filed(f)] as const),
  ])
  const lowered: Lowered[] = []
  const at = (i: number): Lowered => {
    const found = lowered[i]
    if (found === undefined) throw new Error(`graph has no node ${i}`)
    return found
  }
  g.nodes.forEach((node, i) => {
    const operands = node.operands.map(at)
    const [first] = operands
    const value = weights.get(feedName(node) ?? '') ?? lowerNode(node, operands, target)
    lowered.push(
      first !== undefined && isAlias(node, first.node) ? first : { node, operands, value, uses: uses[i] ?? 0 },
    )
  })
  const inputs = new Map(
    g.nodes.flatMap((n) => {
      const name = feedName(n)
      return name === undefined || weights.has(name) ? [] : [[name, { name, type: n.type }] as const]
    }),
  )
  return assemble(
    [...inputs.values()],
    Object.entries(g.outputs).map(([name, i]) => {
      const output = { name, type: at(i).node.type, value: at(i).value }
      return target.device === 'cpu' ? asMade(output) : output
    }),
  )
}

/** An array as it was made before it was reshaped: the runtime would copy it, its reader need not. */
const asMade = (output: ModelOutput): ModelOutput => {
  const value = reshaped(output.value)
  const shape = value === undefined ? undefined : knownShape(value)
  return value === undefined || shape === undefined
    ? output
    : { ...output, value, type: { ...output.type, shape }, readAs: output.type.shape }
}

/** The runtime widens numbers as it builds a session, one array after the other. */
const filed = ({ path, position, element, shape }: FileArray): Value => {
  const stored: Value = { kind: 'filed', element, shape, path, position }
  return element === 'float32' ? stored : ofShape(cast(stored, 'float32'), shape)
}
const bake = ({ dtype, shape, data }: ArrayValue): Constant =>
  dtype === 'float16'
    ? constantOf(dtype, shape, Uint16Array.from(data, halfBits))
    : constantOf(dtype, shape, data instanceof Float64Array ? Float32Array.from(data) : data)
