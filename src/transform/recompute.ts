import { aliases, bytes, nodeFlops } from '../graph/cost.ts'
import { type Graph, type Node, nodeAt } from '../graph/graph.ts'
import { backwards } from './schedule.ts'

/** A step's graph as far as recomputation looks at it: what the forward part makes for the backward part. */
export interface Anatomy {
  readonly graph: Graph
  /** Whether a node is needed for the losses. */
  readonly forward: readonly boolean[]
  /** Whether the backward part reads a node of the forward part as it is: leaves, what is small, and views of these. */
  readonly plain: readonly boolean[]
  /** The other arrays that the backward part reads, in order. */
  readonly read: readonly number[]
  /** Of each node of the backward part that reads such an array, one of that part that stands before it: what the array is awaited by. */
  readonly until: readonly (number | undefined)[]
  /** The node of whose memory each one is a view; itself where it is none. */
  readonly root: readonly number[]
  readonly flops: readonly number[]
  /** What is allocated for each node. */
  readonly held: readonly number[]
  /** Of each array, the last node of the forward part that reads it. */
  readonly lastForward: readonly number[]
}

/** Arrays of fewer bytes are kept: making them anew frees nothing. */
const small = 4096

const isLeaf = (n: Node): boolean => n.operands.length === 0

/** Whether a node is one of these or needed for them. */
const neededFor = (g: Graph, roots: readonly number[]): readonly boolean[] => {
  const needed = g.nodes.map(() => false)
  for (const i of roots) needed[i] = true
  for (let i = g.nodes.length - 1; i >= 0; i--) if (needed[i]) for (const o of nodeAt(g, i).operands) needed[o] = true
  return needed
}

export const anatomy = (g: Graph, losses: readonly string[]): Anatomy => {
  const forwardOf = (graph: Graph): readonly boolean[] =>
    neededFor(
      graph,
      losses.flatMap((name) => graph.outputs[name] ?? []),
    )
  const before = forwardOf(g)
  const { graph, behind } = backwards((i) => before[i] !== true && !isLeaf(nodeAt(g, i)))(g)
  const forward = forwardOf(graph)
  const [root, plain, lastForward]: [number[], boolean[], number[]] = [[], [], []]
  graph.nodes.forEach((n, i) => {
    const first = n.operands[0] ?? i
    root.push(aliases(n) ? (root[first] ?? first) : i)
    plain.push(isLeaf(n) || (aliases(n) ? plain[first] === true : forward[i] !== true || bytes(n.type) < small))
    lastForward.push(i)
    if (forward[i] === true) for (const o of n.operands) lastForward[root[o] ?? o] = i
  })
  const reads = graph.nodes.map(({ operands }, i) =>
    forward[i] === true ? [] : operands.filter((o) => forward[o] === true && plain[o] !== true),
  )
  return {
    graph,
    forward,
    plain,
    read: [...new Set(reads.flatMap((os) => os.map((o) => root[o] ?? o)))].sort((x, y) => x - y),
    until: behind.map((b, i) => ((reads[i] ?? []).length > 0 ? b : undefined)),
    root,
    flops: graph.nodes.map((n) => nodeFlops(graph, n)),
    held: graph.nodes.map((n) => (isLeaf(n) || aliases(n) ? 0 : bytes(n.type))),
    lastForward,
  }
}

/** Nodes by numbers: of n nodes, i is itself, n + i its copy, 2n + i its value behind a barrier. */
export interface Arrangement {
  /** What runs, in order. */
  readonly order: readonly number[]
  readonly operands: (number: number) => readonly number[]
}

/** Everything that must be made anew to have a node, operands first; what is kept ends it, and is among it. */
export const missing = (
  a: Anatomy,
  wanted: number,
  isKept: (i: number) => boolean,
  isMade: (i: number) => boolean = () => false,
): readonly number[] => {
  const found = new Set<number>()
  const pending = [wanted]
  for (let i = pending.pop(); i !== undefined; i = pending.pop()) {
    if (a.plain[i] === true || found.has(i) || isMade(i)) continue
    found.add(i)
    if (!isKept(i)) pending.push(...nodeAt(a.graph, i).operands)
  }
  return [...found].sort((x, y) => x - y)
}

/**
 * The step whose backward part makes anew what is not kept of the forward part: a copy of each such node, once, where it is first needed,
 * over what is kept. What is kept is read behind a barrier, so that no copy begins before the cotangent that it is needed for is there, and
 * nobody merges it with what it is a copy of.
 */
export const arranged = (a: Anatomy, kept: ReadonlySet<number>): Arrangement => {
  const { nodes } = a.graph
  const n = nodes.length
  const order: number[] = []
  /** What the backward part reads for a node of the forward part. */
  const again = new Map<number, number>()
  const own = new Map<number, readonly number[]>()
  const put = (number: number, operands: readonly number[]): number => {
    own.set(number, operands)
    order.push(number)
    return number
  }
  const heldBack = (i: number, until: number): number => (own.has(2 * n + i) ? 2 * n + i : put(2 * n + i, [i, until]))
  const isKept = (i: number): boolean => kept.has(i)
  const isMade = (i: number): boolean => again.has(i)
  const readAgain = (wanted: number, until: number): number => {
    for (const i of missing(a, wanted, isKept, isMade)) {
      if (kept.has(i)) {
        again.set(i, heldBack(i, until))
        continue
      }
      const { operands } = nodeAt(a.graph, i)
      const first = operands.findIndex((o) => nodeAt(a.graph, o).op !== 'constant')
      const isFresh = first === -1 || operands.some(isMade)
      again.set(
        i,
        put(
          n + i,
          operands.map((o, k) => again.get(o) ?? (!isFresh && k === first ? heldBack(o, until) : o)),
        ),
      )
    }
    return again.get(wanted) ?? wanted
  }
  nodes.forEach(({ operands }, i) => {
    const until = a.until[i]
    if (until === undefined) order.push(i)
    else
      put(
        i,
        operands.map((o) => (a.forward[o] === true ? readAgain(o, until) : o)),
      )
  })
  return { order, operands: (number) => own.get(number) ?? nodes[number]?.operands ?? [] }
}

/** An arrangement as a graph. */
export const graphOf = (a: Anatomy, { order, operands }: Arrangement): Graph => {
  const n = a.graph.nodes.length
  const place = new Map(order.map((number, i) => [number, i]))
  const moved = (number: number): number => place.get(number) ?? -1
  return {
    nodes: order.map((number): Node => {
      const node = { ...nodeAt(a.graph, number % n), operands: operands(number).map(moved) }
      return number < 2 * n ? node : { ...node, op: 'barrier', attributes: {} }
    }),
    outputs: Object.fromEntries(Object.entries(a.graph.outputs).map(([name, i]) => [name, moved(i)])),
  }
}

export interface Reckoned {
  /** Greatest sum of live bytes beside the leaves', as `peakBytes` of the graph has it. */
  readonly peak: number
  readonly flops: number
  /** Arrays that at the peak lie and wait for the backward part to begin with them. */
  readonly idle: readonly number[]
}

/** What an arrangement takes: the same sums as of its graph, without making it. */
export const reckoned = (a: Anatomy, { order, operands }: Arrangement): Reckoned => {
  const n = a.graph.nodes.length
  const [root, last, place] = [new Int32Array(3 * n), new Int32Array(3 * n), new Int32Array(3 * n)]
  const held = new Float64Array(3 * n)
  order.forEach((number, at) => {
    const own = operands(number)
    const i = number % n
    const isView = number >= 2 * n || a.root[i] !== i
    root[number] = isView ? (root[own[0] ?? number] ?? number) : number
    held[number] = isView ? 0 : (a.held[i] ?? 0)
    place[number] = at
    last[number] = at
    for (const o of own) last[root[o] ?? o] = at
  })
  for (const i of Object.values(a.graph.outputs)) last[root[i] ?? i] = order.length
  const freed = new Float64Array(order.length + 1)
  for (const number of order) {
    const [end, size] = [last[number] ?? 0, held[number] ?? 0]
    if (size > 0) freed[end] = (freed[end] ?? 0) + size
  }
  let [live, peak, when, flops] = [0, 0, 0, 0]
  order.forEach((number, at) => {
    live += held[number] ?? 0
    if (live > peak) [peak, when] = [live, at]
    live -= freed[at] ?? 0
    if (number < 2 * n) flops += a.flops[number % n] ?? 0
  })
  const idle = a.read.filter((i) => (place[a.lastForward[i] ?? i] ?? 0) < when && (last[i] ?? 0) > when)
  return { peak, flops, idle }
}
