import { type Checked, collect, fail } from '../../error.ts'
import { feedName, type Graph, type Node, type NodeOf, nodeAt } from '../../graph/graph.ts'
import type { OpKind } from '../../graph/ops.ts'
import { type DType, isHalf } from '../../graph/types.ts'
import { E, pipe, RR } from '../../prelude.ts'
import { placeOf } from '../check-graph.ts'
import { isOfNone } from '../none.ts'
import { convolutionLowerings } from './convolution.ts'
import { elementwiseLowerings } from './elementwise.ts'
import type { Kernel } from './kernel.ts'
import type { LoweringTable, Site, Target } from './lowering.ts'
import { movementLowerings } from './movement.ts'
import { normalisationLowerings } from './normalisation.ts'
import { productLowerings } from './products.ts'
import { constant, leaf, type Roots, type Value } from './value.ts'

const table: LoweringTable = {
  input: ({ node }) => leaf(node.attributes.name, node.type),
  parameter: ({ node }) => leaf(node.attributes.name, node.type),
  noise: ({ node }) => leaf(node.attributes.name, node.type),
  ...elementwiseLowerings,
  ...movementLowerings,
  ...productLowerings,
  ...convolutionLowerings,
  ...normalisationLowerings,
}
const lowerNode = <K extends OpKind>(node: NodeOf<K>, operands: readonly Value[], target: Target): Value => {
  const site: Site<K> = { node, operands, target }
  return isOfNone(node.type, operands) ? constant(node.type, [0]) : table[node.op](site)
}

/** One error for each type that the backend does not hold, at the first node that has it. */
const held = (g: Graph, { name, dtypes }: Target): readonly Checked<unknown>[] => {
  const strange = new Map<DType, number[]>()
  g.nodes.forEach(({ type: { dtype } }, i) => {
    if (!dtypes.includes(dtype)) strange.set(dtype, [...(strange.get(dtype) ?? []), i])
  })
  return [...strange].map(([dtype, [first = 0, ...others]]) =>
    fail(
      'compile',
      placeOf(nodeAt(g, first), first),
      `${dtypes.join(', ')}: what ${name} holds`,
      others.length === 0 ? dtype : `${dtype}, here and at ${others.length} more nodes`,
      isHalf(dtype) ? 'take float32, or an executor that has it: doctor lists them' : undefined,
    ),
  )
}

const exact = (node: Node, index: number, made: Value, { name, integers }: Target): Checked<Node> => {
  const far =
    made.kind === 'constant' && made.type.dtype === 'int32' ? made.data.find((x) => Math.abs(x) > integers) : undefined
  return far === undefined
    ? E.right(node)
    : fail('compile', placeOf(node, index), `integers of up to ${integers}, as far as ${name} has them`, String(far))
}

/** The kernels that a value takes beyond those of the values that were seen, to which it is added with what it is made of. */
const kernelsBeyond = (value: Value, seen: Set<Value>): readonly Kernel[] => {
  if (value.kind !== 'call' || seen.has(value)) return []
  seen.add(value)
  return [value.kernel, ...value.inputs.flatMap((x) => kernelsBeyond(x, seen))]
}

const covered = (node: Node, index: number, kernels: readonly Kernel[], target: Target): Checked<Node> => {
  const missing = [...new Set(kernels)].filter((k) => !target.has(k))
  return missing.length === 0
    ? E.right(node)
    : fail(
        'compile',
        placeOf(node, index),
        `${missing.join(', ')} of ${target.name}, for the op ${node.op}`,
        `a backend without ${missing.length === 1 ? 'this kernel' : 'these kernels'}`,
        'another backend of TensorFlow.js, or onnx',
      )
}

/**
 * What the outputs of a graph whose types are true are on a backend, channels first as the graph says. Errors:
 * `compile`, by node, where the backend lacks a kernel. Pure but for what `target.has` reads.
 */
export const lower = (g: Graph, target: Target): Checked<Roots> => {
  const lowered: Value[] = []
  const seen = new Set<Value>()
  const leaves = new Map<string, Value>()
  const checks = g.nodes.flatMap((node, i) => {
    const name = feedName(node)
    const made =
      (name === undefined ? undefined : leaves.get(name)) ?? lowerNode(node, node.operands.map(at(lowered)), target)
    if (name !== undefined) leaves.set(name, made)
    const check = [covered(node, i, kernelsBeyond(made, seen), target), exact(node, i, made, target)]
    lowered.push(made)
    return check
  })
  return pipe(
    collect<unknown>([...held(g, target), ...checks]),
    E.map(() => RR.map(at(lowered))(g.outputs)),
  )
}
const at =
  <A>(all: readonly A[]) =>
  (i: number): A => {
    const found = all[i]
    if (found === undefined) throw new Error(`graph has no node ${i}`)
    return found
  }
