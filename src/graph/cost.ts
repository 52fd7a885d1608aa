import { feedName, type Graph, type Node, operandTypes } from './graph.ts'
import { type Attributes, each, families, type OpKind, viewOps } from './ops.ts'
import { type Shape, size, type TensorType } from './types.ts'

/** Floating-point operations of one node; a multiply-add counts two. */
type Flops<K extends OpKind> = (
  attributes: Attributes[K],
  operands: readonly TensorType[],
  result: TensorType,
) => number
type AnyFlops = (attributes: object, operands: readonly TensorType[], result: TensorType) => number

const free: AnyFlops = () => 0
const elements =
  (each: number): AnyFlops =>
  (_, __, result) =>
    each * size(result.shape)
const operandElements =
  (each: number): AnyFlops =>
  (_, operands) =>
    each * size(operands[0]?.shape ?? [])
const dim = (s: Shape | undefined, i: number): number => s?.at(i) ?? 1
/** 2 N O H' W' C h w, whichever of x, w and dy is being made. */
const convolution = (y: Shape | undefined, w: Shape | undefined): number =>
  2 * size(y ?? []) * dim(w, 1) * dim(w, 2) * dim(w, 3)

const flopsOf: { readonly [K in OpKind]: Flops<K> } = {
  ...each([...families.leaf, ...families.identity, ...families.movement], free),
  ...each([...families.unary, ...families.arithmetic, ...families.comparison, ...families.choice], elements(1)),
  silu: elements(2),
  ...each(families.reduction, operandElements(1)),
  softmax: elements(5),
  matmul: ({ transposeA }, [a], result) => 2 * size(result.shape) * dim(a?.shape, transposeA ? -2 : -1),
  conv2d: (_, [, w], y) => convolution(y.shape, w?.shape),
  convInputGrad: (_, [y, w]) => convolution(y?.shape, w?.shape),
  convWeightGrad: (_, [, y], w) => convolution(y?.shape, w.shape),
  scatterAdd: (_, [, updates]) => size(updates?.shape ?? []),
  maxPool: operandElements(1),
  groupNorm: elements(8),
  standardize: elements(6),
  groupRstd: operandElements(4),
}

const flopsOfNode = <K extends OpKind>(
  op: K,
  attributes: Attributes[K],
  operands: readonly TensorType[],
  result: TensorType,
): number => flopsOf[op](attributes, operands, result)

const bytesPerElement = { float32: 4, float16: 2, bfloat16: 2, int32: 4, bool: 1 } as const
export const bytes = (x: TensorType): number => size(x.shape) * bytesPerElement[x.dtype]
/** Whether a node's result is its first operand's array. */
export const aliases = ({ op }: Node): boolean => viewOps.has(op)
/** Of the node in its graph. */
export const nodeFlops = (g: Graph, n: Node): number => flopsOfNode(n.op, n.attributes, operandTypes(g, n), n.type)

/** What a graph costs, reckoned without running it. */
export interface Cost {
  readonly flops: number
  /** Bytes read and written, were every node to go through memory. */
  readonly traffic: number
  /** Greatest sum of live bytes when the nodes run in their order, leaves included. */
  readonly peakBytes: number
  readonly parameters: number
  readonly parameterBytes: number
}

/** The leaves, those of one name once. */
const distinctLeaves = (g: Graph): readonly Node[] => [
  ...new Map(g.nodes.flatMap((n, i) => (n.operands.length === 0 ? [[feedName(n) ?? i, n] as const] : []))).values(),
]

/** Greatest sum of live bytes when the nodes run in their order, leaves included. */
export const peakBytes = (g: Graph): number => {
  const lastUse = g.nodes.map((_, i) => i)
  const owner = g.nodes.map((n, i) => (aliases(n) ? (n.operands[0] ?? i) : i))
  const root = (i: number): number => {
    let at = i
    while ((owner[at] ?? at) !== at) at = owner[at] ?? at
    return at
  }
  g.nodes.forEach((n, i) => {
    for (const o of n.operands) lastUse[root(o)] = i
  })
  for (const i of Object.values(g.outputs)) lastUse[root(i)] = g.nodes.length
  const dying = new Map<number, number[]>()
  lastUse.forEach((last, i) => {
    const list = dying.get(last) ?? []
    list.push(i)
    dying.set(last, list)
  })
  const isLeaf = (n: Node): boolean => n.operands.length === 0
  const held = (n: Node | undefined): number => (n === undefined || aliases(n) || isLeaf(n) ? 0 : bytes(n.type))
  const leafBytes = distinctLeaves(g).reduce((s, n) => s + bytes(n.type), 0)
  let live = 0
  let peak = 0
  g.nodes.forEach((n, i) => {
    live += held(n)
    peak = Math.max(peak, live)
    for (const dead of dying.get(i) ?? []) live -= held(g.nodes[dead])
  })
  return leafBytes + peak
}

/** What one run costs, from shapes alone. */
export const cost = (g: Graph): Cost => {
  const parameters = distinctLeaves(g).filter((n) => n.op === 'parameter')
  return {
    flops: g.nodes.reduce((s, n) => s + nodeFlops(g, n), 0),
    traffic: g.nodes.reduce(
      (s, n) => s + (aliases(n) ? 0 : bytes(n.type) + operandTypes(g, n).reduce((b, o) => b + bytes(o), 0)),
      0,
    ),
    peakBytes: peakBytes(g),
    parameters: parameters.reduce((s, n) => s + size(n.type.shape), 0),
    parameterBytes: parameters.reduce((s, n) => s + bytes(n.type), 0),
  }
}
