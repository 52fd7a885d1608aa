import { feedName, isNode, type Node, type NodeOf, nodeAt } from '../../graph/graph.ts'
import type { OpKind } from '../../graph/ops.ts'
import { exactOps } from '../../graph/ops.ts'
import { isHalf, type TensorType } from '../../graph/types.ts'
import type { Carry } from '../executor.ts'
import { arithmetic, constantOf } from './arithmetic.ts'
import { convolutions } from './convolutions.ts'
import type { Costs } from './costs.ts'
import type { Decided } from './decide.ts'
import { type Draft, drafting } from './draft.ts'
import { apply, type Expression, elementOf, load, partsOf, sharing, unrounded } from './expression.ts'
import type { Library } from './load.ts'
import type { How, Lowerings, Operand, Operands } from './lowering.ts'
import { movement } from './movement.ts'
import type { Ownership } from './ownership.ts'
import type { Handover, Placed, Plan } from './plan.ts'
import { products } from './products.ts'
import { reductions } from './reductions.ts'
import { liesAs } from './view.ts'

type Leaf = 'input' | 'parameter' | 'noise' | 'constant'
type Inner = Exclude<OpKind, Leaf>
const lowerings: Lowerings<Inner> = { ...arithmetic, ...movement, ...reductions, ...products, ...convolutions }
const isInner = (n: Node): n is NodeOf<Inner> => Object.hasOwn(lowerings, n.op)

/** Loads and steps of one loop; beyond, a part is stored. */
const most = { loads: 12, parts: 160 } as const
const isLarge = (e: Expression): boolean => {
  const parts = partsOf([e])
  return parts.length > most.parts || parts.filter(({ kind }) => kind === 'load').length > most.loads
}

/** Weights in half precision: whatever multiplies them takes them from where they lie in full. */
const isRoundedLeaf = ({ dtype }: TensorType, value: Expression, leaves: Plan['leaves']): boolean => {
  const view = isHalf(dtype) ? unrounded(value, dtype) : undefined
  return view !== undefined && Object.values(leaves).some((l) => l.view.buffer === view.buffer)
}

const nothing: readonly number[] = []
const operandsOf = (all: readonly Operand[]): Operands => {
  const [first, second = first, third = second] = all
  if (first === undefined || second === undefined || third === undefined) throw new Error('an op of no operands')
  return [first, second, third]
}
const lowered = <K extends Inner>(
  { op, attributes, type }: NodeOf<K>,
  all: readonly Operand[],
  draft: Draft,
  how: How,
): Expression => lowerings[op](attributes, operandsOf(all), type, draft, all, how)

export interface Setting {
  readonly carry: Carry
  /** Leaves that are given once. */
  readonly fixed: ReadonlySet<string>
  /** Pieces that long primitives are cut into, and so how their sums are rounded. */
  readonly pieces: number
}

/** Instructions for a graph of which everything is decided; what the library made for them is the ownership's. */
export const drafted = (
  { graph, precisions, order, kept, minimal, joined }: Decided,
  library: Library,
  ownership: Ownership,
  { carry, fixed, pieces }: Setting,
  costs: Costs,
): Plan => {
  const draft = drafting(library, ownership, pieces, costs, precisions)
  const shared = sharing()
  const values = new Map<number, Operand>()
  const valueAt = (i: number): Operand => {
    const found = values.get(i)
    if (found === undefined) throw new Error(`node ${i} is read before it is computed`)
    return found
  }
  const leaves: Record<string, Placed> = {}
  const constants: Plan['constants'][number][] = []
  const leaf = (name: string, { dtype, shape }: TensorType): Expression => {
    const placed = leaves[name] ?? { view: draft.fresh(shape, undefined, draft.elementOfType(dtype)), dtype, shape }
    leaves[name] = placed
    return load(placed.view)
  }
  const constant = (n: NodeOf<'constant'>): Expression => {
    const number = constantOf(n.attributes)
    if (number !== undefined) return number
    const view = draft.fresh(n.type.shape, undefined, draft.elementOfType(n.type.dtype))
    constants.push({ view, data: n.attributes.data, dtype: n.type.dtype })
    return load(view)
  }
  const resultOf = (n: Node, how: How): Expression => {
    const name = feedName(n)
    if (name !== undefined) return leaf(name, n.type)
    if (isNode('constant')(n)) return constant(n)
    if (!isInner(n)) throw new Error(`${n.op} has no lowering`)
    const computed = lowered(n, n.operands.map(valueAt), draft, how)
    const { dtype } = n.type
    const isDone = !isHalf(dtype) || n.op === 'cast' || exactOps.has(n.op) || elementOf(computed) === dtype
    return isDone ? computed : apply(dtype, computed)
  }
  const within = new Set([...joined.values()].flatMap((j) => j.within))
  for (const index of order) {
    if (within.has(index)) continue
    const { convolution, addends } = joined.get(index) ?? { convolution: index, addends: nothing }
    const n = nodeAt(graph, convolution)
    draft.at(convolution)
    const value = shared(resultOf(n, { isMinimal: minimal.has(convolution), addends: addends.map(valueAt) }))
    const isAsked = kept.has(index) && !isRoundedLeaf(n.type, value, leaves)
    const isStored = value.kind === 'apply' && (isAsked || isLarge(value))
    values.set(index, { type: n.type, value: isStored ? load(draft.stored(value, n.type.shape)) : value })
  }

  const carriedLeaves = new Set(Object.values(carry))
  const replaced = new Set(
    Object.entries(leaves).flatMap(([name, { view }]) => (carriedLeaves.has(name) ? [view.buffer] : [])),
  )
  /** Outputs stand by themselves before any leaf is replaced. */
  const ends = Object.entries(graph.outputs).map(([name, i]) => {
    const { type, value } = valueAt(i)
    const view = draft.stored(value, type.shape)
    const apart = replaced.has(view.buffer) || (!(name in carry) && !liesAs(view))
    return { name, type, view: apart ? draft.laid(copyOf(draft, view), type.shape) : view }
  })
  const finals: Record<string, Placed> = {}
  const handovers: Handover[] = []
  for (const { name, type, view } of ends) {
    const into = carry[name]
    if (into === undefined) finals[name] = { view, ...type }
    else {
      leaf(into, type)
      const target = leaves[into]?.view ?? view
      handovers.push({ at: draft.instructions.length, from: view, into: target })
      draft.write(target, load(view))
    }
  }
  return {
    graph,
    precisions,
    buffers: draft.buffers,
    once: [],
    each: draft.instructions,
    leaves,
    fixed,
    carried: carriedLeaves,
    constants,
    outputs: finals,
    handovers,
  }
}

const copyOf = (draft: Draft, view: Parameters<typeof load>[0]): Expression =>
  load(
    draft.store(
      load(view),
      view.shape,
      view.shape.map((_, i) => i),
    ),
  )
