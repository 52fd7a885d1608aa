import { type Graph, isNode, type Node, nodeAt, operandTypes } from '../../graph/graph.ts'
import type { OpOf } from '../../graph/ops.ts'
import { type Half, isFloat, isHalf, sameShape } from '../../graph/types.ts'
import { type Geometry, geometry } from '../geometry.ts'
import type { Pass } from '../passes.ts'
import { plan as schedule } from '../reference/evaluate.ts'
import { resultSide, tileCount } from '../tiles.ts'
import type { Costs, Tiled } from './costs.ts'
import type { HalfPrecisions } from './half.ts'
import { keeping } from './keeping.ts'

/** A convolution that makes sums: the nodes that are added to it, in order. */
export interface Joined {
  readonly convolution: number
  /** The convolution and the sums before the last, which are no arrays. */
  readonly within: readonly number[]
  readonly addends: readonly number[]
}

/** A graph, and what was decided of its nodes. */
export interface Decided {
  readonly graph: Graph
  /** What the processor makes of half precision. */
  readonly precisions: HalfPrecisions
  /** Nodes in the order in which they are computed. */
  readonly order: readonly number[]
  /** Results of arithmetic that are put in memory; others are computed where they are read. */
  readonly kept: ReadonlySet<number>
  /** Convolutions and gradients of them that are made by minimal filtering. */
  readonly minimal: ReadonlySet<number>
  /** Of each sum that a convolution makes last, which, and what it adds. */
  readonly joined: ReadonlyMap<number, Joined>
}
export const undecided = (graph: Graph, precisions: HalfPrecisions): Decided => ({
  graph,
  precisions,
  order: schedule(graph).steps.map(({ index }) => index),
  kept: new Set(),
  minimal: new Set(),
  joined: new Map(),
})

/** Which nodes read each, in order, of those that are computed. */
const readersOf = ({ graph, order }: Decided): ReadonlyMap<number, readonly number[]> => {
  const readers = new Map<number, number[]>()
  for (const index of order)
    for (const o of nodeAt(graph, index).operands) readers.set(o, [...(readers.get(o) ?? []), index])
  return readers
}

const isConvolution = (n: Node): n is Node & { readonly op: OpOf<'convolution'> } =>
  isNode('conv2d')(n) || isNode('convInputGrad')(n) || isNode('convWeightGrad')(n)
/** x, weight and y of a convolution of any direction. */
export const geometryOf = (graph: Graph, n: Node): Geometry | undefined => {
  const [a, b] = operandTypes(graph, n).map(({ shape }) => shape)
  const { shape: y } = n.type
  if (a === undefined || b === undefined) return undefined
  if (isNode('conv2d')(n)) return geometry(a, b, y, n.attributes)
  if (isNode('convInputGrad')(n)) return geometry(y, b, a, n.attributes)
  return isNode('convWeightGrad')(n) ? geometry(a, y, b, n.attributes) : undefined
}

/** Whether tiles of 4x4 of what is read make what is written, 2x2 each. */
const hasTiles = ({ kh, kw, sh, sw, oh, ow }: Geometry): boolean =>
  kh === 3 && kw === 3 && sh === 1 && sw === 1 && oh > 0 && ow > 0 && oh % resultSide === 0 && ow % resultSide === 0
/** The gradient of x as a convolution of that of y; undefined where it is none. */
export const reversed = (g: Geometry): Geometry | undefined => {
  const [top, left, bottom, right] = [2 - g.top, 2 - g.left, 2 - g.bottom, 2 - g.right]
  return [top, left, bottom, right].some((edge) => edge < 0)
    ? undefined
    : { ...g, c: g.o, h: g.oh, w: g.ow, o: g.c, oh: g.h, ow: g.w, top, left, bottom, right }
}
const isWorth = (g: Geometry, { narrow, wide, widest = Number.POSITIVE_INFINITY, tiles }: Tiled): boolean => {
  const [least, most] = [Math.min(g.c, g.o), Math.max(g.c, g.o)]
  return least >= narrow && most >= wide && most <= widest && tileCount(g) >= tiles
}
/** What both operands are in, or were before they were widened. */
const halfOf = (graph: Graph, { operands }: Node): Half | undefined => {
  const [a, b] = operands.map((o) => {
    const { op, type, operands: from } = nodeAt(graph, o)
    return op === 'cast' && !isHalf(type.dtype) ? nodeAt(graph, from[0] ?? o).type.dtype : type.dtype
  })
  return a !== undefined && a === b && isHalf(a) ? a : undefined
}
const isMinimal = ({ graph, precisions }: Decided, n: Node, { minimal, minimalGain }: Costs): boolean => {
  if (!isFloat(n.type.dtype) || !isConvolution(n)) return false
  const half = halfOf(graph, n)
  if (half !== undefined && precisions[half].gain > minimalGain) return false
  const g = geometryOf(graph, n)
  const seen = g !== undefined && n.op === 'convInputGrad' ? reversed(g) : g
  return seen !== undefined && hasTiles(seen) && minimal[n.op].some((from) => isWorth(seen, from))
}

const choosing =
  (costs: Costs) =>
  (d: Decided): Decided => ({
    ...d,
    minimal: new Set(d.order.filter((index) => isMinimal(d, nodeAt(d.graph, index), costs))),
  })

/** What a convolution is read by alone: a sum with something else, and with what. */
const sumBehind = (
  { graph }: Decided,
  readers: ReadonlyMap<number, readonly number[]>,
  index: number,
): { readonly sum: number; readonly addend: number } | undefined => {
  const [sum, ...others] = readers.get(index) ?? []
  if (sum === undefined || others.length > 0 || Object.values(graph.outputs).includes(index)) return undefined
  const n = nodeAt(graph, sum)
  const addend = n.operands.find((o) => o !== index)
  const isAlike = n.op === 'add' && sameShape(n.type.shape, nodeAt(graph, index).type.shape)
  return isAlike && addend !== undefined ? { sum, addend } : undefined
}
/** Biases, time embeddings and residuals are added by the convolution before them: the last of two where a sum is of two. */
const adding = (d: Decided): Decided => {
  const readers = readersOf(d)
  const [taken, joined] = [new Set<number>(), new Map<number, Joined>()]
  for (const index of [...d.order].reverse()) {
    const n = nodeAt(d.graph, index)
    const adds = n.op === 'conv2d' || (n.op === 'convInputGrad' && d.minimal.has(index))
    if (!adds || !isFloat(n.type.dtype)) continue
    const [addends, within]: [number[], number[]] = [[], []]
    let last = index
    for (let next = sumBehind(d, readers, last); next !== undefined; next = sumBehind(d, readers, last)) {
      if (taken.has(next.sum)) break
      taken.add(next.sum)
      addends.push(next.addend)
      within.push(last)
      last = next.sum
    }
    if (addends.length > 0) joined.set(last, { convolution: index, within, addends })
  }
  return { ...d, joined }
}

const storing = (d: Decided): Decided => ({ ...d, kept: keeping(d.graph, d.order) })

/** What is decided of a graph before the library is asked for anything, in order. */
export const decisions = (costs: Costs): readonly Pass<Decided>[] => [
  ['store what several loops read', storing],
  ['convolve by minimal filtering', choosing(costs)],
  ['add in convolutions', adding],
]
