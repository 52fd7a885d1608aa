import { feedName, type Graph, isNode, type Node, nodeAt, readersIn } from '../../graph/graph.ts'
import { type OpKind, viewOps } from '../../graph/ops.ts'
import { size } from '../../graph/types.ts'
import { withOutputs } from '../../transform/index.ts'
import { partition } from '../partition.ts'

/** What a loop reads: a leaf, an output of the body, or a number that an earlier loop gives. */
export interface Source {
  readonly from: 'leaf' | 'body' | 'loop'
  readonly name: string
}

/** Arithmetic on one element, in order: a step reads what is loaded, broadcast, constant, or computed before it. */
export type Operand =
  | { readonly kind: 'array' | 'scalar' | 'step'; readonly index: number }
  | { readonly kind: 'constant'; readonly value: number }
export interface Step {
  readonly op: TailOp
  readonly operands: readonly Operand[]
}

/** One loop over arrays of `length` numbers: loads an element of each, computes, stores the outputs. */
export interface Loop {
  readonly length: number
  readonly arrays: readonly Source[]
  /** Arrays of one number. */
  readonly scalars: readonly Source[]
  readonly steps: readonly Step[]
  /** Outputs of the graph. */
  readonly outputs: readonly Named[]
  /** Numbers for later loops. */
  readonly gives: readonly Named[]
}
export interface Named {
  readonly name: string
  readonly operand: Operand
}

/**
 * A graph in two: what a runtime computes, and the arithmetic at its end, as loops over flat arrays. Every element of an output
 * of the tail depends on the elements at its own place alone, so a loop may write where it has read.
 */
export interface Split {
  readonly body: Graph
  /** Those on single numbers first. */
  readonly loops: readonly Loop[]
}

const tailOps = ['neg', 'abs', 'sqrt', 'add', 'sub', 'mul', 'div'] as const
export type TailOp = (typeof tailOps)[number]
const isTailOp = (op: OpKind): op is TailOp => known.has(op)
const known: ReadonlySet<OpKind> = new Set(tailOps)

const lengthOf = ({ type }: Node): number => size(type.shape)

/** Whether each element of the result depends on those at its own place, or on single numbers. */
const isPointwise = (g: Graph, n: Node): boolean => {
  if (!isTailOp(n.op) && !viewOps.has(n.op)) return false
  const operands = n.operands.map((o) => nodeAt(g, o))
  const length = lengthOf(n)
  const lengths = operands.map(lengthOf)
  return (
    [n, ...operands].every(({ type }) => type.dtype === 'float32') &&
    lengths.includes(length) &&
    lengths.every((l) => l === length || l === 1)
  )
}

/** Nodes of these, readers before what they read, that only such nodes and the outputs read. */
const tailOf = (candidates: readonly number[], readers: readonly (readonly number[])[]) => {
  const tail = new Set<number>()
  for (const i of candidates) if ((readers[i] ?? []).every((r) => tail.has(r))) tail.add(i)
  return tail
}

/** Nodes of the tail that share an array, in order: only together can they write over what they read. */
const groupsOf = (g: Graph, tail: ReadonlySet<number>): readonly (readonly number[])[] => {
  const { rootOf, join } = partition()
  for (const i of tail)
    for (const o of nodeAt(g, i).operands)
      if (lengthOf(nodeAt(g, o)) === lengthOf(nodeAt(g, i))) join(i, sourceAt(g, tail, o))
  const groups = new Map<number, number[]>()
  for (const i of [...tail].sort((a, b) => a - b)) {
    const group = groups.get(rootOf(i)) ?? []
    group.push(i)
    groups.set(rootOf(i), group)
  }
  return [...groups.values()]
}
/** Nodes of a loop; the optimisers need some 20. */
const longest = 256
const isWorth = (g: Graph, group: readonly number[]): boolean =>
  group.length <= longest && group.some((i) => isTailOp(nodeAt(g, i).op))

/** The groups of the greatest tail of which each is worth a loop. */
const worthwhile = (g: Graph, baked: ReadonlySet<string>) => {
  const readers = readersIn(g)
  const isBaked = (o: number): boolean => baked.has(feedName(nodeAt(g, sourceAt(g, new Set(), o))) ?? '')
  let candidates = g.nodes.flatMap((n, i) => (isPointwise(g, n) && !n.operands.some(isBaked) ? [i] : [])).reverse()
  for (;;) {
    const tail = tailOf(candidates, readers)
    const groups = groupsOf(g, tail)
    const worthless = new Set(groups.filter((group) => !isWorth(g, group)).flat())
    if (worthless.size === 0) return { tail, groups }
    candidates = candidates.filter((i) => !worthless.has(i))
  }
}

/** The node that holds the numbers of one outside the tail. */
const sourceAt = (g: Graph, tail: ReadonlySet<number>, i: number): number => {
  let at = i
  for (let n = nodeAt(g, at); !tail.has(at) && viewOps.has(n.op); n = nodeAt(g, at)) at = n.operands[0] ?? at
  return at
}

/** Names for the body's outputs that the tail reads, which no output of the graph has. */
const freshNames = (g: Graph): ((node: number) => string) => {
  let prefix = 'tail.'
  while (Object.keys(g.outputs).some((name) => name.startsWith(prefix))) prefix += '.'
  return (node) => `${prefix}${node}`
}

/** Of every node, the outputs that it is. */
const outputsAt = (g: Graph): ReadonlyMap<number, readonly string[]> => {
  const names = new Map<number, string[]>()
  for (const [name, i] of Object.entries(g.outputs)) names.set(i, [...(names.get(i) ?? []), name])
  return names
}

/** A loop, and the nodes of the body that it reads, by their names as outputs. */
interface Drafted {
  readonly loop: Loop
  readonly reads: Readonly<Record<string, number>>
}

/** Writes the loops of groups. */
const drafting = (g: Graph, tail: ReadonlySet<number>) => {
  const named = freshNames(g)
  const outputs = outputsAt(g)
  const readAsNumber = new Set(
    [...tail].flatMap((i) => {
      const node = nodeAt(g, i)
      return lengthOf(node) === 1 ? [] : node.operands.filter((o) => tail.has(o) && lengthOf(nodeAt(g, o)) === 1)
    }),
  )
  return (group: readonly number[]): Drafted => {
    const length = lengthOf(nodeAt(g, group[0] ?? 0))
    const reads: Record<string, number> = {}
    const [arrays, scalars] = [new Map<number, Source>(), new Map<number, Source>()]
    const steps: Step[] = []
    const computed = new Map<number, Operand>()
    const sourceOf = (node: number): Source => {
      const leaf = feedName(nodeAt(g, node))
      if (leaf !== undefined) return { from: 'leaf', name: leaf }
      if (!tail.has(node)) reads[named(node)] = node
      return { from: tail.has(node) ? 'loop' : 'body', name: named(node) }
    }
    const indexIn = (known: Map<number, Source>, node: number): number => {
      known.set(node, known.get(node) ?? sourceOf(node))
      return [...known.keys()].indexOf(node)
    }
    const operand = (i: number): Operand => {
      const done = computed.get(i)
      if (done !== undefined) return done
      const source = sourceAt(g, tail, i)
      const node = nodeAt(g, source)
      const [value, ...others] = isNode('constant')(node) ? node.attributes.data : []
      if (value !== undefined && others.length === 0) return { kind: 'constant', value }
      return lengthOf(node) === length
        ? { kind: 'array', index: indexIn(arrays, source) }
        : { kind: 'scalar', index: indexIn(scalars, source) }
    }
    for (const i of group) {
      const { op, operands } = nodeAt(g, i)
      const of = operands.map(operand)
      const [first] = of
      if (isTailOp(op)) computed.set(i, { kind: 'step', index: steps.push({ op, operands: of }) - 1 })
      else if (first !== undefined) computed.set(i, first)
    }
    // In the order of what is computed, behind however many views: loops of the same arithmetic have the same text.
    const nodesOf = new Map<Operand, number[]>()
    for (const [i, of] of computed) nodesOf.set(of, [...(nodesOf.get(of) ?? []), i])
    const inOrder = [...nodesOf].flatMap(([of, nodes]) => nodes.map((i) => [i, of] as const))
    const results = (namesOf: (node: number) => readonly string[]): readonly Named[] =>
      inOrder.flatMap(([i, of]) => namesOf(i).map((name) => ({ name, operand: of })))
    return {
      reads,
      loop: {
        length,
        arrays: [...arrays.values()],
        scalars: [...scalars.values()],
        steps,
        outputs: results((i) => outputs.get(i) ?? []),
        gives: results((i) => (readAsNumber.has(i) ? [named(i)] : [])),
      },
    }
  }
}

/**
 * Splits the arithmetic off a graph's end: in a training step, the optimiser and the average. Leaves named in `baked` stay in the
 * body, as what they are to the runtime. Pure; a graph without such an end is its own body.
 */
export const splitTail = (g: Graph, baked: ReadonlySet<string> = new Set()): Split => {
  const { tail, groups } = worthwhile(g, baked)
  const onNumbers = (group: readonly number[]): number => (lengthOf(nodeAt(g, group[0] ?? 0)) === 1 ? 0 : 1)
  const drafts = [...groups].sort((a, b) => onNumbers(a) - onNumbers(b)).map(drafting(g, tail))
  const computedBy = new Map(drafts.flatMap((d) => d.loop.outputs.map(({ name }) => [name, d] as const)))
  return {
    body: withOutputs(
      Object.fromEntries([
        ...Object.entries(g.outputs).flatMap(([name, i]) =>
          Object.entries(computedBy.get(name)?.reads ?? { [name]: i }),
        ),
        ...drafts.flatMap(({ reads }) => Object.entries(reads)),
      ]),
    )(g),
    loops: drafts.map(({ loop }) => loop),
  }
}
