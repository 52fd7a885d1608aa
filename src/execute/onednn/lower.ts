import { feedName, type Graph, isNode, type Node, type NodeOf, nodeAt } from '../../graph/graph.ts'
import type { OpKind } from '../../graph/ops.ts'
import { exactOps } from '../../graph/ops.ts'
import { isHalf, type TensorType } from '../../graph/types.ts'
import type { Carry } from '../executor.ts'
import { plan as schedule } from '../reference/evaluate.ts'
import { arithmetic, constantOf } from './arithmetic.ts'
import { type Draft, drafting, type Ownership } from './draft.ts'
import { apply, type Expression, load, loadsOf, partsOf } from './expression.ts'
import { type Handover, inPlace } from './in-place.ts'
import { keeping } from './keeping.ts'
import type { Library } from './load.ts'
import type { Lowerings, Operand, Operands } from './lowering.ts'
import { movement } from './movement.ts'
import type { Instruction, Placed, Plan } from './plan.ts'
import { products } from './products.ts'
import { reductions } from './reductions.ts'
import { liesAs } from './view.ts'

type Leaf = 'input' | 'parameter' | 'noise' | 'constant'
type Inner = Exclude<OpKind, Leaf>
const lowerings: Lowerings<Inner> = { ...arithmetic, ...movement, ...reductions, ...products }
const isInner = (n: Node): n is NodeOf<Inner> => Object.hasOwn(lowerings, n.op)

/** Loads and steps of one loop; beyond, a part is stored. */
const most = { loads: 12, parts: 160 } as const
const isLarge = (e: Expression): boolean => loadsOf([e]).length > most.loads || partsOf([e]).length > most.parts

const operandsOf = (all: readonly Operand[]): Operands => {
  const [first, second = first, third = second] = all
  if (first === undefined || second === undefined || third === undefined) throw new Error('an op of no operands')
  return [first, second, third]
}
const lowered = <K extends Inner>(
  { op, attributes, type }: NodeOf<K>,
  all: readonly Operand[],
  draft: Draft,
): Expression => lowerings[op](attributes, operandsOf(all), type, draft, all)

export interface Setting {
  readonly carry: Carry
  /** Leaves that are given once. */
  readonly fixed: ReadonlySet<string>
  /** Pieces that long primitives are cut into, and so how their sums are rounded. */
  readonly pieces: number
}

/** A graph as instructions; what the library made for them is the ownership's. */
export const planOf = (
  graph: Graph,
  library: Library,
  ownership: Ownership,
  { carry, fixed, pieces }: Setting,
): Plan => {
  const draft = drafting(library, ownership, pieces)
  const { steps } = schedule(graph)
  const isKept = keeping(
    graph,
    steps.map(({ index }) => index),
  )
  const values = new Map<number, Operand>()
  const valueAt = (i: number): Operand => {
    const found = values.get(i)
    if (found === undefined) throw new Error(`node ${i} is read before it is computed`)
    return found
  }
  const leaves: Record<string, Placed> = {}
  const constants: Plan['constants'][number][] = []
  const leaf = (name: string, { dtype, shape }: TensorType): Expression => {
    const placed = leaves[name] ?? { view: draft.fresh(shape), dtype, shape }
    leaves[name] = placed
    return load(placed.view)
  }
  const constant = (n: NodeOf<'constant'>): Expression => {
    const number = constantOf(n.attributes)
    if (number !== undefined) return number
    const view = draft.fresh(n.type.shape)
    constants.push({ view, data: n.attributes.data, dtype: n.type.dtype })
    return load(view)
  }
  const resultOf = (n: Node): Expression => {
    const name = feedName(n)
    if (name !== undefined) return leaf(name, n.type)
    if (isNode('constant')(n)) return constant(n)
    if (!isInner(n)) throw new Error(`${n.op} has no lowering`)
    const computed = lowered(n, n.operands.map(valueAt), draft)
    return isHalf(n.type.dtype) && n.op !== 'cast' && !exactOps.has(n.op) ? apply(n.type.dtype, computed) : computed
  }
  for (const { index } of steps) {
    const n = nodeAt(graph, index)
    draft.at(index)
    const value = resultOf(n)
    const isStored = value.kind === 'apply' && (isKept(index) || isLarge(value))
    values.set(index, { type: n.type, value: isStored ? load(draft.store(value, n.type.shape)) : value })
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
  const fed = Object.entries(leaves).flatMap(([name, { view }]) => (fixed.has(name) ? [] : [view.buffer]))
  return {
    buffers: draft.buffers,
    ...split(inPlace(draft.instructions, handovers), fed),
    leaves,
    fixed,
    carried: carriedLeaves,
    constants,
    outputs: finals,
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

/** Instructions that read nothing but what is fixed, and write where no others do, from the others. */
const split = (instructions: readonly Instruction[], fed: readonly number[]) => {
  const moving = new Set(fed)
  const isMoving = ({ reads, writes }: Instruction): boolean => [...reads, ...writes].some((b) => moving.has(b))
  for (let before = -1; before !== moving.size; ) {
    before = moving.size
    for (const i of instructions) if (isMoving(i)) for (const b of i.writes) moving.add(b)
  }
  return { once: instructions.filter((i) => !isMoving(i)), each: instructions.filter(isMoving) }
}
