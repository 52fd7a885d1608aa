import { nodeFlops } from '../../graph/cost.ts'
import { feedName, type Graph, type Node } from '../../graph/graph.ts'
import type { Attributes, OpKind } from '../../graph/ops.ts'
import { postorder } from '../../graph/order.ts'
import type { Shape, TensorType } from '../../graph/types.ts'
import { RR } from '../../prelude.ts'
import type { Order } from '../layout.ts'

/**
 * How an array lies: as the graph says, in another order of axes, or as one kind of call wants it. `nchwc` has pictures in blocks of
 * channels; weights are `blocks` for that, `rotatedBlocks` where they are rotated by 180 degrees and their channels exchanged, `rotated`
 * the same without blocks, `tiles` transformed for minimal filtering.
 */
export type Layout = 'plain' | Order | 'nchwc' | 'blocks' | 'rotatedBlocks' | 'rotated' | 'tiles'

/** What calls have beside the ops of graphs: leaves whose numbers are known, and what recognisers make of several nodes. */
interface OwnAttributes {
  readonly baked: { readonly name: string }
  readonly relu: object
  /** Of q, k and v at leading indices: the products that give the scores and, of their softmax, the result, in which positions may be columns. */
  readonly attention: {
    readonly scores: Attributes['matmul']
    readonly result: Attributes['matmul']
    readonly columns: boolean
  }
  /** The same array, lying otherwise. */
  readonly convert: { readonly from: Layout }
}
export type CallKind = OpKind | keyof OwnAttributes
/** A convolution may have a third operand, its bias, and be cut off at 0. */
export type CallAttributes = Omit<Attributes, 'conv2d'> &
  OwnAttributes & { readonly conv2d: Attributes['conv2d'] & { readonly rectified?: true } }

/** The ways to compute what can be computed in several. */
export interface Algorithms {
  readonly conv2d: 'direct' | 'widened' | 'blocked' | 'minimal'
  readonly convInputGrad: 'rotated' | 'transposed' | 'blocked' | 'minimal'
  readonly convWeightGrad:
    | 'positions'
    | 'columns of x'
    | 'columns of dy'
    | 'minimal'
    | 'gathered x'
    | 'gathered dy'
    | 'rows'
    | 'shifted x'
    | 'shifted dy'
  readonly attention: 'whole' | 'streamed'
}
/** The plainest of each: what stands before anything is chosen, and where no other fits. */
export const plainest = {
  conv2d: 'direct',
  convInputGrad: 'rotated',
  convWeightGrad: 'shifted x',
  attention: 'whole',
} as const satisfies Algorithms
export type AlgorithmOf<K extends CallKind> = K extends keyof Algorithms ? Algorithms[K] : never

/** A node of a graph, or several as one, with what was decided of how it is computed. Immutable. */
export interface Call<K extends CallKind = CallKind> {
  readonly op: K
  readonly attributes: CallAttributes[K]
  readonly operands: readonly Call[]
  readonly type: TensorType
  readonly scope: string
  /** Floating-point operations, were it computed as it is declared. */
  readonly flops: number
  /** Chosen where there are several. */
  readonly algorithm?: AlgorithmOf<K>
  /** How its result lies. */
  readonly layout: Layout
  /** Computed at this place, though the same has been computed before. */
  readonly anew?: true
}
/** What a program computes, by the names of its outputs. */
export type Calls = Readonly<Record<string, Call>>

export const isCall =
  <K extends CallKind>(op: K) =>
  (c: Call): c is Call<K> =>
    c.op === op
/** The way in which a call of one of these ops is computed. */
export const algorithmOf = <K extends keyof Algorithms>(c: Call<K>): Algorithms[K] => c.algorithm ?? plainest[c.op]
export const shapeOf = (c: Call): Shape => c.type.shape
/** The operand at `i`; arity is checked before there are calls. */
export const operand = (c: Call, i: number): Call => {
  const found = c.operands[i]
  if (found === undefined) throw new Error(`${c.op} has no operand ${i}`)
  return found
}
/** A call of which nothing is decided. */
export const callOf = <K extends CallKind>(
  op: K,
  attributes: CallAttributes[K],
  operands: readonly Call[],
  { type, scope, flops }: Pick<Call, 'type' | 'scope' | 'flops'>,
): Call<K> => ({ op, attributes, operands, type, scope, flops, layout: 'plain' })

/** All calls, operands before their readers. */
export const inOrder = (calls: Calls): readonly Call[] => postorder(Object.values(calls), (c) => c.operands)
/** How many calls and outputs read each call. */
export const readersOf = (calls: Calls): ((c: Call) => number) => {
  const readers = new Map<Call, number>()
  for (const c of [...inOrder(calls).flatMap((of) => of.operands), ...Object.values(calls)])
    readers.set(c, (readers.get(c) ?? 0) + 1)
  return (c) => readers.get(c) ?? 0
}
/** A rule says what stands for a call: it is given the call over what stands for its operands, and the call as it was. */
export type Rule = (now: Call, before: Call) => Call
export const rewriteCalls =
  (ruleOf: (calls: Calls) => Rule) =>
  (calls: Calls): Calls => {
    const rule = ruleOf(calls)
    const stands = new Map<Call, Call>()
    const now = (c: Call): Call => stands.get(c) ?? c
    for (const c of inOrder(calls)) {
      const kept = c.operands.every((o) => now(o) === o)
      stands.set(c, rule(kept ? c : { ...c, operands: c.operands.map(now) }, c))
    }
    return RR.map(now)(calls)
  }

/** A graph as calls, a node each; leaves of one name are one call, those whose numbers are known are told from those that are fed. */
export const callsOf = (g: Graph, isBaked: (leaf: string) => boolean): Calls => {
  const calls: Call[] = []
  const leaves = new Map<string, Call>()
  const made = (node: Node): Call => {
    const name = feedName(node)
    const of = { ...node, flops: nodeFlops(g, node) }
    if (name === undefined) return callOf(node.op, node.attributes, node.operands.map(at), of)
    const leaf =
      leaves.get(name) ?? (isBaked(name) ? callOf('baked', { name }, [], of) : callOf(node.op, node.attributes, [], of))
    leaves.set(name, leaf)
    return leaf
  }
  const at = (i: number): Call => {
    const found = calls[i]
    if (found === undefined) throw new Error(`graph has no node ${i}`)
    return found
  }
  for (const node of g.nodes) calls.push(made(node))
  return RR.map(at)(g.outputs)
}
