import { type Shape, size } from '../graph/types.ts'

/** How the numbers of an array lie: its axes in the order in which they lie in memory, the outermost first. Row-major is 0, 1, 2, ... */
export type Order = readonly number[]

/** Orders that have a name: of pictures [N, C, H, W] and of weights [O, C, h, w], the C of which is their input's. */
export const orders = {
  nhwc: [0, 2, 3, 1],
  hwio: [2, 3, 1, 0],
  hwoi: [2, 3, 0, 1],
} as const satisfies Readonly<Record<string, Order>>

export const range = (length: number): readonly number[] => Array.from({ length }, (_, i) => i)
export const isIdentity = (order: Order): boolean => order.every((axis, i) => axis === i)
/** Where each axis stands in an order. */
export const inverse = (order: Order): Order => range(order.length).map((axis) => order.indexOf(axis))
/** What is said of each axis, in an order. */
export const permuted = <A>(perAxis: readonly A[], order: Order): readonly A[] =>
  order.flatMap((axis) => {
    const found = perAxis[axis]
    return found === undefined ? [] : [found]
  })
/** The transposition that takes what lies in one order to another. */
export const between = (from: Order, to: Order): Order => to.map((axis) => from.indexOf(axis))
/** The order in which the same numbers lie once their axes are named anew, as a transposition does: its axis i is what was axis `permutation[i]`. */
export const renamed = (order: Order, permutation: Order): Order => order.map((axis) => permutation.indexOf(axis))

/** Whether a transpose leaves the elements where they are, because it moves axes of length 1 only. */
export const movesNothing = (shape: Shape, axes: Order): boolean => {
  const moved = axes.filter((a) => shape[a] !== 1)
  return moved.every((a, i) => i === 0 || a > (moved[i - 1] ?? -1))
}
interface Group {
  /** Axes of the view that are neither 1 long nor in another group. */
  readonly from: readonly number[]
  readonly to: readonly number[]
}
/** The least runs of axes that a reshape takes to runs of as many elements; undefined where a length is 0. */
const groupsOf = (from: Shape, to: Shape): readonly Group[] | undefined => {
  if (size(from) === 0) return undefined
  const long = (s: Shape): number[] => range(s.length).filter((i) => s[i] !== 1)
  const [sources, targets] = [long(from), long(to)]
  const groups: Group[] = []
  while (sources.length > 0 || targets.length > 0) {
    const group: { from: number[]; to: number[] } = { from: [], to: [] }
    let [given, taken] = [1, 1]
    do {
      if (given <= taken) {
        const next = sources.shift()
        if (next === undefined) return undefined
        group.from.push(next)
        given *= from[next] ?? 1
      } else {
        const next = targets.shift()
        if (next === undefined) return undefined
        group.to.push(next)
        taken *= to[next] ?? 1
      }
    } while (given !== taken)
    groups.push(group)
  }
  return groups
}
/**
 * How an array that lies in an order lies once it is reshaped and none of its numbers is moved: axes are split, or such are joined as lie
 * beside each other. `lying` is its shape as it lies, `to` what its own shape becomes. Undefined where numbers would have to move.
 */
export const reshaped = (lying: Shape, order: Order, to: Shape): Order | undefined => {
  const axes = inverse(order)
  const groups = groupsOf(permuted(lying, axes), to)
  const long = lying.flatMap((d, i) => (d === 1 ? [] : [i]))
  const places = (g: Group): readonly number[] => g.from.map((i) => long.indexOf(axes[i] ?? -1))
  const whole = groups?.every((g) => places(g).every((p, i, all) => i === 0 || p === (all[i - 1] ?? -1) + 1)) ?? false
  if (groups === undefined || !whole) return undefined
  const inBase = [...groups].sort((a, b) => (places(a)[0] ?? 0) - (places(b)[0] ?? 0)).flatMap((g) => g.to)
  return [...inBase, ...range(to.length).filter((i) => !inBase.includes(i))]
}

/** In an array of `shape` that lies in `order`, the step from an index to the next along each of the array's own axes. */
const stepsOf = (shape: readonly number[], order: Order): readonly number[] => {
  const lying = permuted(shape, order)
  const steps = lying.map((_, i) => lying.slice(i + 1).reduce((a, b) => a * b, 1))
  return permuted(steps, inverse(order))
}
/** Numbers in the order of `to`, of numbers of an array of `shape` in the order of `from`. */
export const reordered = (
  shape: readonly number[],
  numbers: ArrayLike<number>,
  [source, target]: readonly [Order, Order],
): Float32Array<ArrayBuffer> => {
  const from = numbers instanceof Float32Array ? numbers : Float32Array.from(numbers)
  const made = new Float32Array(from.length)
  const [reading, writing] = [stepsOf(shape, source), stepsOf(shape, target)]
  /** The longest axis is gone along without a call for each of its numbers. */
  const [along = 0, ...others] = range(shape.length).toSorted((a, b) => (shape[b] ?? 0) - (shape[a] ?? 0))
  const [length, step, stride] = [shape[along] ?? 1, reading[along] ?? 0, writing[along] ?? 0]
  const fill = (depth: number, at: number, to: number): void => {
    const axis = others[depth]
    if (axis === undefined) {
      for (let i = 0; i < length; i++) made[to + i * stride] = from[at + i * step] ?? Number.NaN
      return
    }
    const [own, wide] = [reading[axis] ?? 0, writing[axis] ?? 0]
    for (let i = 0; i < (shape[axis] ?? 0); i++) fill(depth + 1, at + i * own, to + i * wide)
  }
  fill(0, 0, 0)
  return made
}
