import {
  add,
  apply,
  conv2d,
  isTensor,
  matmul,
  mul,
  refreeze,
  reshape,
  type Tensor,
  type TensorOf,
  thaw,
  topological,
} from '../declare/index.ts'
import { floats, type Value, type Values } from '../execute/executor.ts'
import type { Graph } from '../graph/graph.ts'
import { type Shape, sameShape, size } from '../graph/types.ts'
import { kaimingUniform, zeros } from '../nn/layers.ts'
import { pipe, RR } from '../prelude.ts'

/** Low-rank adapters (Hu et al. 2021, "LoRA") of networks that stay as they are: a graph's named weights, each with a term more. */

/** What is added to a weight W[O, ...]: factor * up down, up[O, rank], down[rank, ...]. */
export interface Change {
  readonly rank: number
  readonly factor: number
}
/** By the parameter that is changed. */
export type Changes = Readonly<Record<string, Change>>
/** An adapter as a graph has it: a name, which its leaves begin with, and what it changes. */
export interface Named {
  /** No other adapter of the graph has it. */
  readonly name: string
  readonly changes: Changes
}

/** The leaf that an adapter's array is fed by. */
export const adapterLeaf = (adapter: string, parameter: string, part: 'down' | 'up'): string =>
  `${adapter}/${parameter}/${part}`

/** What of a change is computed with. */
interface Term {
  readonly down: Tensor
  readonly up: Tensor
  readonly factor: number
}
/** A weight as it stands in the graph, as it is or reshaped. */
interface Weight {
  readonly leaf: Tensor
  readonly terms: readonly Term[]
}

const times =
  (factor: number) =>
  (x: Tensor): Tensor =>
    factor === 1 ? x : pipe(x, mul(factor))
const shaped =
  (shape: Shape) =>
  (x: Tensor): Tensor =>
    sameShape(x.shape, shape) ? x : pipe(x, reshape(...shape))
const point = { stride: [1, 1], padding: [0, 0, 0, 0] } as const

/** W + factor * up down, for what uses a weight otherwise than a product does: computed at each run. */
const summed = (w: Tensor, terms: readonly Term[]): Tensor =>
  terms.reduce((sum, { down, up, factor }) => {
    const [rank = 0, ...rest] = down.shape
    const product = pipe(up, matmul(pipe(down, shaped([rank, size(rest)]))), times(factor), shaped(w.shape))
    return pipe(sum, add(product))
  }, w)

/** x W or x W^T, through down and up: the product with W itself is not touched. */
const inProduct = ({ attributes }: TensorOf<'matmul'>, x: Tensor, { down, up, factor }: Term): Tensor => {
  const { transposeA, transposeB } = attributes
  const [rank = 0, ...rest] = down.shape
  const matrix = pipe(down, shaped([rank, size(rest)]))
  const [first, second] = transposeB ? [matrix, up] : [up, matrix]
  return pipe(x, matmul(first, { transposeA, transposeB }), times(factor), matmul(second, { transposeB }))
}
/** The convolution to `rank` channels, with the weight's own window, and from there to its channels. */
const inConvolution = (
  { attributes }: TensorOf<'conv2d'>,
  x: Tensor,
  w: Tensor,
  { down, up, factor }: Term,
): Tensor => {
  const [out = 0, ...rest] = w.shape
  const [rank = 0] = down.shape
  return pipe(
    apply('conv2d', attributes, [x, pipe(down, shaped([rank, ...rest]))]),
    times(factor),
    conv2d(pipe(up, shaped([out, rank, 1, 1])), point),
  )
}

/** How adapters stand in a graph. */
export interface AdaptOptions {
  /** Whether an optimiser changes the adapters. */
  readonly trainable?: boolean
}

const changeOf = ({ changes }: Named, parameter: string): Change | undefined =>
  Object.hasOwn(changes, parameter) ? changes[parameter] : undefined

const termsOf = (n: TensorOf<'parameter'>, adapters: readonly Named[], trainable: boolean): readonly Term[] => {
  const { name: parameter, shape } = n.attributes
  const [out = 1, ...rest] = shape
  return adapters.flatMap((adapter): readonly Term[] => {
    const { rank, factor } = changeOf(adapter, parameter) ?? { rank: 0, factor: 0 }
    if (rank === 0 || factor === 0) return []
    const leaf = (part: 'down' | 'up', own: Shape): Tensor =>
      apply(
        'parameter',
        {
          name: adapterLeaf(adapter.name, parameter, part),
          shape: own,
          init: part === 'down' ? kaimingUniform(size(rest)) : zeros,
          trainable,
        },
        [],
        n.scope,
      )
    return [{ down: leaf('down', [rank, ...rest]), up: leaf('up', [out, rank]), factor }]
  })
}

/**
 * What stands for each expression below the roots with adapters: wherever a parameter is a product's or a convolution's weight, y becomes
 * y + factor * up(down(x)); where it is used otherwise, W + factor * up down stands for it. What reads no changed weight stays the same
 * object; without rank or factor that is all. What an adapter has for parameters that are not there is not part of it.
 */
export const adapting = (
  adapters: readonly Named[],
  roots: readonly Tensor[],
  { trainable = false }: AdaptOptions = {},
): ((x: Tensor) => Tensor) => {
  const stands = new Map<Tensor, Tensor>()
  const weights = new Map<Tensor, Weight>()
  const whole = new Map<Tensor, Tensor>()
  const now = (x: Tensor): Tensor => stands.get(x) ?? x
  const wholeOf = (x: Tensor): Tensor => {
    const weight = weights.get(x)
    if (weight === undefined) return x
    const sum = whole.get(x) ?? summed(x, weight.terms)
    whole.set(x, sum)
    return sum
  }
  const again = (x: Tensor, args: readonly Tensor[]): Tensor =>
    args.every((a, i) => a === x.args[i]) ? x : apply(x.op, x.attributes, args, x.scope)
  const standing = (node: Tensor): Tensor => {
    const args = node.args.map(now)
    const [x, w] = args
    if (isTensor('parameter')(node)) {
      const terms = termsOf(node, adapters, trainable)
      if (terms.length > 0) weights.set(node, { leaf: node, terms })
      return node
    }
    if (isTensor('reshape')(node) && x !== undefined) {
      const view = again(node, args)
      const weight = weights.get(x)
      if (weight !== undefined) weights.set(view, weight)
      return view
    }
    const weight = w === undefined ? undefined : weights.get(w)
    if (x === undefined || w === undefined || weight === undefined || w.shape[0] !== (weight.leaf.shape[0] ?? 1))
      return again(node, args.map(wholeOf))
    const plain = (): Tensor => again(node, [wholeOf(x), w])
    if (isTensor('matmul')(node) && w.shape.length === 2)
      return weight.terms.reduce((y, term) => pipe(y, add(inProduct(node, wholeOf(x), term))), plain())
    if (isTensor('conv2d')(node))
      return weight.terms.reduce((y, term) => pipe(y, add(inConvolution(node, wholeOf(x), w, term))), plain())
    return again(node, args.map(wholeOf))
  }
  for (const x of topological(roots)) stands.set(x, standing(x))
  return now
}

/**
 * A graph with adapters, as `adapting` has it.
 *
 * @example
 * const tuned = withAdapters([{ name: 'toy', changes: { 'head.weight': { rank: 4, factor: 1 } } }])(graph)
 */
export const withAdapters =
  (adapters: readonly Named[], options: AdaptOptions = {}) =>
  (g: Graph): Graph => {
    const outputs = thaw(g)
    return refreeze(pipe(outputs, RR.map(adapting(adapters, Object.values(outputs), options))))
  }

/** A change with its numbers, row-major. */
export interface LowRank extends Change {
  /** Of the weight that is changed. */
  readonly shape: Shape
  readonly down: Float32Array
  readonly up: Float32Array
}
/** The changes of one adapter with their arrays, by the parameter that is changed. */
export type LowRanks = Readonly<Record<string, LowRank>>

/** What an adapter's leaves are fed. */
export const adapterFeeds = (name: string, changes: LowRanks): Values =>
  Object.fromEntries(
    Object.entries(changes).flatMap(
      ([
        parameter,
        {
          rank,
          shape: [out = 1, ...rest],
          down,
          up,
        },
      ]) => [
        [adapterLeaf(name, parameter, 'down'), floats([rank, ...rest], down)] as const,
        [adapterLeaf(name, parameter, 'up'), floats([out, rank], up)] as const,
      ],
    ),
  )

/** factor * up down, in double precision. */
export const productOf = ({ rank, factor, shape: [out = 1, ...rest], down, up }: LowRank): Float64Array => {
  const columns = size(rest)
  const product = new Float64Array(out * columns)
  for (let o = 0; o < out; o++)
    for (let r = 0; r < rank; r++) {
      const weight = factor * (up[o * rank + r] ?? 0)
      for (let c = 0; c < columns; c++)
        product[o * columns + c] = (product[o * columns + c] ?? 0) + weight * (down[r * columns + c] ?? 0)
    }
  return product
}

/** W + factor * up down, of each change: the network is another one then. */
export const merged = (w: Value, changes: readonly LowRank[]): Value => {
  const acting = changes.filter(({ rank, factor }) => rank > 0 && factor !== 0)
  if (acting.length === 0) return w
  const sum = Float64Array.from(w.data)
  for (const change of acting) for (const [i, x] of productOf(change).entries()) sum[i] = (sum[i] ?? 0) + x
  return floats(w.shape, Float32Array.from(sum))
}

/** The same adapter, its effect times a number. */
export const scaled = (changes: LowRanks, weight: number): LowRanks =>
  Object.fromEntries(
    Object.entries(changes).map(([parameter, change]) => [parameter, { ...change, factor: change.factor * weight }]),
  )
