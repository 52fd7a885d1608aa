import { size } from '../../graph/types.ts'
import { product } from './products.ts'
import { constant, type Rewriting, reshape, shapeOf } from './value.ts'

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
