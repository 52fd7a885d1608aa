import type { Geometry } from './geometry.ts'

/** Tiles of minimal filtering: 4x4 of x for 2x2 of y. */
export const [tileSide, resultSide, tilePlaces] = [4, 2, 16] as const
export type Maps = Pick<Geometry, 'n' | 'oh' | 'ow'>
export const tilesAlong = (length: number): number => length / resultSide
export const tileCount = ({ n, oh, ow }: Maps): number => n * tilesAlong(oh) * tilesAlong(ow)

/**
 * Convolutions of 3x3 by minimal filtering, F(2x2, 3x3): 16 products make what 36 would (Lavin and Gray 2016, "Fast Algorithms for
 * Convolutional Neural Networks", section 4.1). Of tiles d of 4x4 and filters g of 3x3, overlapping by 2, each with 2x2 results
 *
 *   Y = A^T ((G g G^T) * (B^T d B)) A
 *
 * summed over channels before A, so that each of the 16 places is a product of matrices [tiles, C] [C, O].
 */
export type Matrix = readonly (readonly number[])[]
export const tilesTransform: Matrix = [
  [1, 0, -1, 0],
  [0, 1, 1, 0],
  [0, -1, 1, 0],
  [0, 1, 0, -1],
]
export const filterTransform: Matrix = [
  [1, 0, 0],
  [0.5, 0.5, 0.5],
  [0.5, -0.5, 0.5],
  [0, 0, 1],
]
export const resultTransform: Matrix = [
  [1, 1, 1, 0],
  [0, 1, -1, -1],
]
export const transposed = (m: Matrix): Matrix => (m[0] ?? []).map((_, j) => m.map((row) => row[j] ?? 0))

/** A filter rotated by 180 degrees has the same 16 numbers, at other places: first and last change. */
export const rotatedPlace = (place: number): number => {
  const along = (i: number): number => (i % 3 === 0 ? 3 - i : i)
  return along(Math.floor(place / tileSide)) * tileSide + along(place % tileSide)
}
