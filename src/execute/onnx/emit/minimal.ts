import type { Geometry } from '../../geometry.ts'
import {
  filterTransform,
  type Matrix,
  tilePlaces as places,
  resultSide,
  resultTransform,
  rotatedPlace,
  tileCount,
  tileSide,
  tilesAlong,
  tilesTransform,
  transposed,
} from '../../tiles.ts'
import type { Lowered } from '../devices.ts'
import type { Target } from '../target.ts'
import { type Constant, call, constantOf, floats, int, ofShape, pad, reshape, type Value } from '../value.ts'
import { product } from './products.ts'

/** What a matrix does to rows and to columns of a square, as one matrix over the square's places. */
const onSquares = (m: Matrix): Matrix =>
  m.flatMap((row) => m.map((other) => row.flatMap((a) => other.map((b) => a * b))))
const taps = 9

const allPlaces = Array.from({ length: places }, (_, i) => i)
/** By whether filters are rotated. */
const placeOrders = { plain: allPlaces, rotated: allPlaces.map(rotatedPlace) }
type Rotation = keyof typeof placeOrders
const constantMatrix = (m: Matrix): Constant => floats([m.length, m[0]?.length ?? 0], m.flat())
const tilesMatrix = (rotation: Rotation): Constant => {
  const rows = onSquares(tilesTransform)
  return constantMatrix(placeOrders[rotation].map((place) => rows[place] ?? []))
}
const resultMatrix = (rotation: Rotation): Constant =>
  constantMatrix(onSquares(resultTransform).map((row) => placeOrders[rotation].map((place) => row[place] ?? 0)))
const filterMatrix = onSquares(filterTransform)

/** G g G^T of constant w[O, C, 3, 3], in double precision before it is rounded: [16, C, O] */
export const knownFilters = ({ data }: Constant, { o, c }: Pick<Geometry, 'o' | 'c'>): Constant => {
  const filters = new Float32Array(places * c * o)
  const matrix = Float64Array.from(filterMatrix.flat())
  for (let i = 0; i < c; i++)
    for (let j = 0; j < o; j++)
      for (let place = 0; place < places; place++) {
        let sum = 0
        for (let tap = 0; tap < taps; tap++)
          sum += (matrix[place * taps + tap] ?? 0) * Number(data[(j * c + i) * taps + tap])
        filters[(place * c + i) * o + j] = sum
      }
  return constantOf('float32', [places, c, o], filters)
}
/** Of w[3, 3, C, O]: [16, C, O] */
export const filtersOfHwio = (weight: Value, { o, c }: Pick<Geometry, 'o' | 'c'>): Value =>
  reshape(call('MatMul', [constantMatrix(filterMatrix), reshape(weight, [taps, c * o])]), [places, c, o])

/** From x[n, h, w, c], padded, to y[n, oh, ow, o]. */
type Extent = Pick<Geometry, 'n' | 'c' | 'h' | 'w' | 'o' | 'oh' | 'ow' | 'top' | 'left'>
/** Of each place in a tile, of each tile, the row of padded x[n h w, c]. */
const seenRows = ({ n, oh, ow }: Extent): Int32Array => {
  const [across, down] = [tilesAlong(ow), tilesAlong(oh)]
  const [height, width] = [oh + 2, ow + 2]
  const rows = new Int32Array(places * n * down * across)
  let next = 0
  for (let i = 0; i < tileSide; i++)
    for (let j = 0; j < tileSide; j++)
      for (let item = 0; item < n; item++)
        for (let y = 0; y < down; y++)
          for (let x = 0; x < across; x++)
            rows[next++] = (item * height + y * resultSide + i) * width + x * resultSide + j
  return rows
}
/** Of each position, the row of results[places in a tile, tiles, o]. */
const resultRows = ({ n, oh, ow }: Extent): Int32Array => {
  const [across, down] = [tilesAlong(ow), tilesAlong(oh)]
  const rows = new Int32Array(n * oh * ow)
  let next = 0
  for (let item = 0; item < n; item++)
    for (let y = 0; y < oh; y++)
      for (let x = 0; x < ow; x++) {
        const place = (y % resultSide) * resultSide + (x % resultSide)
        rows[next++] = ((place * n + item) * down + Math.floor(y / resultSide)) * across + Math.floor(x / resultSide)
      }
  return rows
}
/** Of each place in the results of a tile, of each tile, the row of y[n oh ow, o]: `resultRows` the other way round. */
const ownRows = (e: Extent): Int32Array => {
  const rows = new Int32Array(e.n * e.oh * e.ow)
  resultRows(e).forEach((row, position) => {
    rows[row] = position
  })
  return rows
}
const rowsAt = (x: Value, rows: Int32Array): Value =>
  call('Gather', [x, constantOf('int32', [rows.length], rows)], { axis: int(0) })

/** B^T d B of every tile, place by place: [16, tiles, c] */
const tilesOf = (x: Value, e: Extent, rotation: Rotation): Value => {
  const { n, c, h, w, oh, ow, top, left } = e
  const [height, width] = [oh + 2, ow + 2]
  const padded = pad(x, [0, top, left, 0], [0, height - h - top, width - w - left, 0])
  const seen = rowsAt(reshape(padded, [n * height * width, c]), seenRows(e))
  const tiles = tileCount(e)
  return reshape(call('MatMul', [tilesMatrix(rotation), reshape(seen, [places, tiles * c])]), [places, tiles, c])
}

const byTiles = (x: Value, filters: Value, e: Extent, rotation: Rotation, device: Lowered): Value => {
  const { c, o } = e
  const tiles = tileCount(e)
  const summed =
    rotation === 'plain'
      ? product(device, [tilesOf(x, e, rotation), [places, tiles, c]], [filters, [places, c, o]], {})
      : product(device, [tilesOf(x, e, rotation), [places, tiles, c]], [filters, [places, o, c]], { transposeB: true })
  const results = call('MatMul', [resultMatrix(rotation), reshape(summed, [places, tiles * o])])
  return rowsAt(reshape(results, [resultSide ** 2 * tiles, o]), resultRows(e))
}

/** x[n, h, w, c], filters[16, c, o] -> y[n, oh, ow, o], and back. */
export const minimalConvolution = ([x, filters, bias]: readonly Value[], g: Geometry, { device }: Target): Value => {
  if (x === undefined || filters === undefined) throw new Error('a convolution without operands')
  const rows = byTiles(x, filters, g, 'plain', device)
  return reshape(bias === undefined ? rows : call('Add', [rows, bias]), [g.n, g.oh, g.ow, g.o])
}
export const minimalInputGradient = (dy: Value, filters: Value, g: Geometry, { device }: Target): Value => {
  const e = { ...g, c: g.o, h: g.oh, w: g.ow, o: g.c, oh: g.h, ow: g.w, top: 2 - g.top, left: 2 - g.left }
  return reshape(byTiles(dy, filters, e, 'rotated', device), [e.n, e.oh, e.ow, e.o])
}

/** dw[h, w, C, O] = G^T ((B^T d B) * (A dY A^T)) G, summed over tiles */
export const minimalWeightGradient = (x: Value, dy: Value, g: Geometry, { device }: Target): Value => {
  const { c, o } = g
  const tiles = tileCount(g)
  const own = rowsAt(reshape(dy, [g.n * g.oh * g.ow, o]), ownRows(g))
  const spread = call('MatMul', [
    constantMatrix(transposed(onSquares(resultTransform))),
    reshape(own, [resultSide ** 2, tiles * o]),
  ])
  const summed = product(
    device,
    [tilesOf(x, g, 'plain'), [places, tiles, c]],
    [reshape(spread, [places, tiles, o]), [places, tiles, o]],
    { transposeA: true },
  )
  const dw = call('MatMul', [constantMatrix(transposed(filterMatrix)), reshape(summed, [places, c * o])])
  return reshape(ofShape(dw, [taps, c * o]), [3, 3, c, o])
}
