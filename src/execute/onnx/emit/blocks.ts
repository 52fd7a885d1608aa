import type { Geometry } from '../../geometry.ts'
import { type Attributes, type Constant, call, constantOf, int, reshape, transpose, type Value } from '../value.ts'

/**
 * Weights of blocked convolutions, [O/b, C/b, h, w, b of C, b of O]: laid out while compiling where they are constant, at
 * every run where they are fed.
 */
type Extent = Pick<Geometry, 'o' | 'c' | 'kh' | 'kw'>
type LayOut = (weight: Value, e: Extent, b: number) => Value

export const nchwc = 'com.microsoft.nchwc'
export const blocked = (op: string, inputs: readonly Value[], attributes: Attributes = {}): Value =>
  call(op, inputs, attributes, nchwc)

const lastFirst = (length: number): Constant =>
  constantOf(
    'int32',
    [length],
    Int32Array.from({ length }, (_, i) => length - 1 - i),
  )
/** Rows of x[a b c, width] as [permuted axes, width]; the number of the row to take comes from its place among a, b and c. */
const rowsInOrder = (x: Value, [a, b, c]: readonly [number, number, number], rowAt: RowAt): Value => {
  const rows = Array.from({ length: a * b * c }, (_, i) => rowAt(Math.floor(i / (b * c)), Math.floor(i / c) % b, i % c))
  return call('Gather', [x, constantOf('int32', [rows.length], Int32Array.from(rows))], { axis: int(0) })
}
type RowAt = (a: number, b: number, c: number) => number

/** Of w[h, w, C, O] whole blocks are moved. */
export const blocksOfHwio: LayOut = (weight, { o, c, kh, kw }, b) => {
  const taps = kh * kw
  const [outer, inner] = [o / b, c / b]
  const rows = blocked('ReorderInput', [reshape(weight, [1, taps, c, o])], { channels_last: int(1) })
  const blocks = reshape(rows, [outer * taps * inner, b * b])
  return reshape(
    rowsInOrder(blocks, [outer, inner, taps], (i, j, t) => (i * taps + t) * inner + j),
    [o, c, kh, kw],
  )
}
export const rotatedBlocksOfHwio: LayOut = (weight, { o, c, kh, kw }, b) => {
  const taps = kh * kw
  const [outer, inner] = [c / b, o / b]
  const columns = blocked('ReorderInput', [reshape(weight, [taps, c, 1, o])])
  const blocks = reshape(columns, [taps * outer * inner, b * b])
  return reshape(
    rowsInOrder(blocks, [outer, inner, taps], (i, j, t) => ((taps - 1 - t) * outer + i) * inner + j),
    [c, o, kh, kw],
  )
}
/** w[O, C, h, w] of w[h, w, C, O], where b divides O: through blocks, which threads share. */
export const plainOfHwio: LayOut = (weight, { o, c, kh, kw }) => {
  const taps = kh * kw
  const rows = rowsInOrder(reshape(weight, [taps * c, o]), [c, taps, 1], (i, t) => t * c + i)
  const inBlocks = blocked('ReorderInput', [reshape(rows, [1, 1, c * taps, o])], { channels_last: int(1) })
  return reshape(blocked('ReorderOutput', [inBlocks], { channels: int(o) }), [o, c, kh, kw])
}

/** Reordering as if weights were pictures keeps runs of b numbers together, so that the transposition copies runs. */
const fedBlocks: LayOut = (weight, { o, c, kh, kw }, b) => {
  const inner = reshape(blocked('ReorderInput', [reshape(weight, [o / b, b, c, kh * kw])]), [
    o / b,
    c / b,
    b,
    kh * kw,
    b,
  ])
  return reshape(transpose(inner, [0, 1, 3, 2, 4]), [o, c, kh, kw])
}
const fedRotatedBlocks: LayOut = (weight, { o, c, kh, kw }, b) => {
  const taps = kh * kw
  const inner = reshape(blocked('ReorderInput', [reshape(weight, [o, c, 1, taps])]), [(o * c) / b, taps, b])
  const reversed = reshape(call('Gather', [inner, lastFirst(taps)], { axis: int(1) }), [o / b, b, c / b, taps, b])
  return reshape(transpose(reversed, [2, 0, 3, 1, 4]), [c, o, kh, kw])
}

/** Where in w[O, C, taps] the element stands that goes to (outer block, inner block, tap, inner, outer). */
type Source = (outer: number, inner: number, tap: number, e: Extent) => number
const inBlocks = (
  { data }: Constant,
  e: Extent,
  b: number,
  [outer, inner]: readonly [number, number],
  source: Source,
) => {
  const taps = e.kh * e.kw
  const [blocks, inward] = [outer / b, inner / b]
  const out = new Float32Array(outer * inner * taps)
  let at = 0
  for (let i = 0; i < blocks; i++)
    for (let j = 0; j < inward; j++)
      for (let t = 0; t < taps; t++)
        for (let p = 0; p < b; p++)
          for (let q = 0; q < b; q++) out[at++] = Number(data[source(i * b + q, j * b + p, t, e)])
  return constantOf('float32', [outer, inner, e.kh, e.kw], out)
}
const knownBlocks = (weight: Constant, e: Extent, b: number): Constant =>
  inBlocks(weight, e, b, [e.o, e.c], (o, c, t, { kh, kw }) => (o * e.c + c) * kh * kw + t)
const knownRotatedBlocks = (weight: Constant, e: Extent, b: number): Constant =>
  inBlocks(weight, e, b, [e.c, e.o], (c, o, t, { kh, kw }) => (o * e.c + c + 1) * kh * kw - 1 - t)

export const blocksOf: LayOut = (weight, e, b) =>
  weight.kind === 'constant' ? knownBlocks(weight, e, b) : fedBlocks(weight, e, b)
/** The blocks of w[C, O, h, w] rotated by 180 degrees. */
export const rotatedBlocksOf: LayOut = (weight, e, b) =>
  weight.kind === 'constant' ? knownRotatedBlocks(weight, e, b) : fedRotatedBlocks(weight, e, b)
