import { apply, concat, isTensor, rebuild, refreeze, rewrite, slice, type Tensor } from '../declare/index.ts'
import { type Graph, isNode, type Node, type NodeOf } from '../graph/graph.ts'
import { each, families, type OpKind } from '../graph/ops.ts'
import type { Shape } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

/**
 * Of a node, the operands whose items, along axis 0, are those of its result: each item is computed of the same item of these, and of
 * the whole of other operands. None where items are computed of each other, or axis 0 counts something else.
 */
type Carrying<K extends OpKind> = (n: NodeOf<K>, args: readonly Tensor[]) => readonly number[]
const none = (): readonly number[] => []
const first = (): readonly number[] => [0]
const firstIf = (holds: boolean): readonly number[] => (holds ? [0] : [])
/** Operands that are not repeated along the result's axis 0. */
const unrepeated = ({ type: { shape } }: Node, args: readonly Tensor[]): readonly number[] =>
  args.flatMap((x, i) => (x.shape.length === shape.length && x.shape[0] === shape[0] ? [i] : []))
const alongOthers: Carrying<'sum' | 'reduceMax'> = ({ attributes }) => firstIf(!attributes.axes.includes(0))
const alongAnother: Carrying<'softmax' | 'argMax' | 'argMin'> = ({ attributes }) => firstIf(attributes.axis !== 0)

const carrying: { readonly [K in OpKind]: Carrying<K> } = {
  ...each(families.leaf, none),
  ...each([...families.unary, 'cast', 'stopGradient', 'mark', 'recompute'], first),
  barrier: none,
  ...each([...families.arithmetic, ...families.comparison, 'select'], unrepeated),
  sum: alongOthers,
  reduceMax: alongOthers,
  softmax: alongAnother,
  argMax: alongAnother,
  argMin: alongAnother,
  /** Of two matrices, rows of the result are rows of the first. */
  matmul: (n, args) => (n.type.shape.length === 2 ? firstIf(!n.attributes.transposeA) : unrepeated(n, args)),
  conv2d: first,
  convInputGrad: first,
  convWeightGrad: none,
  reshape: ({ attributes: { shape } }) => firstIf((shape[0] ?? 1) % 2 === 0),
  transpose: ({ attributes: { permutation } }) => firstIf(permutation[0] === 0),
  slice: unrepeated,
  pad: ({ attributes: { low, high } }) => firstIf(low[0] === 0 && high[0] === 0),
  concat: ({ attributes }, args) => (attributes.axis === 0 ? [] : args.map((_, i) => i)),
  broadcast: unrepeated,
  gather: () => [1],
  scatterAdd: none,
  upsampleNearest: first,
  maxPool: first,
  ...each(families.normalisation, first),
}
const carriedBy = <K extends OpKind>(n: NodeOf<K>, args: readonly Tensor[]): readonly number[] =>
  carrying[n.op](n, args)

const halved = ([items = 0, ...rest]: Shape): Shape => [items / 2, ...rest]
/** The node over half as many items. */
const ofHalf = (n: Node): Node => {
  if (isNode('reshape')(n) || isNode('broadcast')(n)) return { ...n, attributes: { shape: halved(n.attributes.shape) } }
  if (isNode('slice')(n)) return { ...n, attributes: { ...n.attributes, size: halved(n.attributes.size) } }
  return n
}
/** Half of what is the same for all items. */
const uniformHalf = (x: Tensor): Tensor | undefined => {
  if ((x.shape[0] ?? 1) % 2 === 1) return undefined
  const [of] = x.args
  if (isTensor('broadcast')(x) && of !== undefined && (of.shape.length < x.shape.length || of.shape[0] === 1))
    return apply('broadcast', { shape: halved(x.shape) }, [of], x.scope)
  if (isTensor('constant')(x) && x.attributes.data.length === 1)
    return apply('constant', { ...x.attributes, type: { ...x.type, shape: halved(x.shape) } }, [], x.scope)
  return undefined
}

/** [x; x] */
const isStackedTwice = (n: Node): boolean =>
  isNode('concat')(n) && n.attributes.axis === 0 && n.operands.length === 2 && n.operands[0] === n.operands[1]

/**
 * What is computed of the same items twice, stacked along axis 0, is computed once, until something tells the halves apart: guidance
 * runs a network on [x; x], and what comes before the condition enters is the same for both.
 *
 *     f([x; x]) = [f(x); f(x)]     for every f that computes an item of that item alone
 */
export const shareHalves = (g: Graph): Graph => {
  const halves = new Map<Tensor, Tensor>()
  const twice = (half: Tensor): Tensor => {
    const both = concat(0, half, half)
    halves.set(both, half)
    return both
  }
  const computedOnce = (n: Node, args: readonly Tensor[]): Tensor | undefined => {
    const [x] = args
    if (isStackedTwice(n) && x !== undefined) return twice(x)
    const half = x === undefined ? undefined : halves.get(x)
    if (isNode('slice')(n) && half !== undefined) {
      const [[start = 0, ...starts], [items = 0], count = 0] = [n.attributes.start, n.attributes.size, half.shape[0]]
      if (start >= count || start + items <= count)
        return pipe(half, slice([start % Math.max(count, 1), ...starts], n.attributes.size))
    }
    const carried = carriedBy(n, args)
    if (!carried.some((i) => args.some((a, j) => i === j && halves.has(a)))) return undefined
    const own = args.map((a, i) => (carried.includes(i) ? (halves.get(a) ?? uniformHalf(a)) : a))
    const known = own.flatMap((a) => a ?? [])
    return known.length === own.length ? twice(rebuild(ofHalf(n), known)) : undefined
  }
  return g.nodes.some(isStackedTwice) ? refreeze(rewrite(g, (n, args, again) => computedOnce(n, args) ?? again())) : g
}
