import { size } from '../../graph/types.ts'
import { product } from './products.ts'
import { constant, pad, type Rewriting, reshape, shapeOf, sum, type Value } from './value.ts'

/** How many numbers are added one after the other. */
const block = 64
/** Of an axis that long, the length of its blocks: one that divides it, or else it is padded. */
const width = (extent: number): number => {
  const divisors = Array.from({ length: block }, (_, i) => block - i).filter((w) => extent % w === 0)
  const [largest = 1] = divisors
  return largest * block >= Math.min(extent, block ** 2 / 4) ? largest : block
}

const inBlocks = (x: Value, axes: readonly number[]): Value => {
  const shape = shapeOf(x)
  const long = axes.filter((a) => shape[a] !== 1)
  const axis = long.at(-1)
  if (axis === undefined) return x
  const extent = shape[axis] ?? 1
  if (size(long.map((a) => shape[a] ?? 1)) <= block) return sum(x, long)
  if (extent <= block) return inBlocks(sum(x, [axis]), long)
  const length = width(extent)
  const blocks = Math.ceil(extent / length)
  const padded = pad(
    x,
    shape.map(() => 0),
    shape.map((_, i) => (i === axis ? blocks * length - extent : 0)),
  )
  const split = sum(reshape(padded, [...shape.slice(0, axis), blocks, length, ...shape.slice(axis + 1)]), [axis + 1])
  return inBlocks(reshape(split, shape.with(axis, blocks)), long)
}

/** WebAssembly adds one number after the other in float32, so that a long sum loses digits: added in blocks it keeps them. */
export const sumInBlocks: Rewriting = (of) => {
  const [x] = of.inputs
  const { axis } = of.attributes
  return of.kernel !== 'Sum' || x === undefined || x.type.dtype !== 'float32' || !Array.isArray(axis)
    ? of
    : reshape(
        inBlocks(
          x,
          axis.filter((a) => typeof a === 'number').toSorted((a, b) => a - b),
        ),
        shapeOf(of),
      )
}

/**
 * TensorFlow.js sums the last axes only: where others are asked for it moves them there first, through all of memory.
 * Channels last, sums over positions are such. A row of ones times a matrix sums the matrix where it lies.
 */
export const sumInPlace: Rewriting = (of) => {
  const [x] = of.inputs
  const { axis } = of.attributes
  if (x === undefined || x.type.dtype !== 'float32' || typeof axis !== 'object') return of
  const long = axis.flatMap((a) => (typeof a === 'number' && shapeOf(x)[a] !== 1 ? [a] : [])).sort((a, b) => a - b)
  const [from, to] = [long[0], long.at(-1)]
  if (from === undefined || to === undefined) return of
  const between = shapeOf(x).slice(from, to + 1)
  const [before, rows, after] = [size(shapeOf(x).slice(0, from)), size(between), size(shapeOf(x).slice(to + 1))]
  const isBlock = between.every((d, i) => d === 1 || long.includes(from + i))
  if (!isBlock || after === 1) return of
  const ones = constant({ dtype: 'float32', shape: [1, 1, rows] }, [1])
  return reshape(product(ones, reshape(x, [before, rows, after]), [before, 1, after]), shapeOf(of))
}
