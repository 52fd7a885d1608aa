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

/** In an array of `shape` that lies in `order`, the step from an index to the next along each of the array's own axes. */
const stepsOf = (shape: readonly number[], order: Order): readonly number[] => {
  const lying = permuted(shape, order)
  const steps = lying.map((_, i) => lying.slice(i + 1).reduce((a, b) => a * b, 1))
  return permuted(steps, inverse(order))
}
/** Numbers in the order of `to`, of numbers of an array of `shape` in the order of `from`. */
export const reordered = (
  shape: readonly number[],
  from: ArrayLike<number>,
  [source, target]: readonly [Order, Order],
): Float32Array<ArrayBuffer> => {
  const made = new Float32Array(from.length)
  const [lengths, steps] = [permuted(shape, target), permuted(stepsOf(shape, source), target)]
  let next = 0
  const fill = (axis: number, at: number): void => {
    const [length, step] = [lengths[axis] ?? 1, steps[axis] ?? 0]
    if (axis < lengths.length - 1) for (let i = 0; i < length; i++) fill(axis + 1, at + i * step)
    else for (let i = 0; i < length; i++) made[next++] = from[at + i * step] ?? Number.NaN
  }
  fill(0, 0)
  return made
}
