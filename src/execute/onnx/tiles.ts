import type { Geometry } from '../geometry.ts'

/** Tiles of minimal filtering, F(2x2, 3x3): 4x4 of x for 2x2 of y. */
export const [tileSide, resultSide, tilePlaces] = [4, 2, 16] as const
export type Maps = Pick<Geometry, 'n' | 'oh' | 'ow'>
export const tilesAlong = (length: number): number => length / resultSide
export const tileCount = ({ n, oh, ow }: Maps): number => n * tilesAlong(oh) * tilesAlong(ow)
