import { type DType, type Shape, size } from '../../graph/types.ts'
import type { Geometry } from '../geometry.ts'
import {
  filterTransform,
  type Matrix,
  resultSide,
  resultTransform,
  rotatedPlace,
  tilePlaces,
  tileSide,
  tilesAlong,
  tilesTransform,
  transposed,
} from '../tiles.ts'
import { repeated } from './arithmetic.ts'
import type { Draft } from './draft.ts'
import { apply, type Expression, float, load, overViews } from './expression.ts'
import type { Operand } from './lowering.ts'
import { minimal } from './plan.ts'
import { multipliedApart } from './products.ts'
import { channelsLast, dense, keyOf, part, permuted, type View } from './view.ts'

/** Convolutions of 3x3 by minimal filtering (`tiles.ts`): transforms are loops of ours, the products of the 16 places the library's. */

type Square = readonly (readonly Expression[])[]

/** The sum of numbers times coefficients, of which at least one is not 0. */
const combined = (coefficients: readonly number[], xs: readonly Expression[]): Expression => {
  const terms = coefficients.flatMap((c, i) => {
    const x = xs[i]
    return c === 0 || x === undefined ? [] : [{ c, x }]
  })
  const [first, ...others] = [...terms.filter(({ c }) => c > 0), ...terms.filter(({ c }) => c < 0)]
  if (first === undefined) throw new Error('a transform of nothing')
  const scaled = (c: number, x: Expression): Expression => (c === 1 ? x : apply('mul', x, float(c)))
  return others.reduce(
    (sum, { c, x }) => apply(c < 0 ? 'sub' : 'add', sum, scaled(Math.abs(c), x)),
    first.c === -1 ? apply('neg', first.x) : scaled(first.c, first.x),
  )
}
const turned = (s: Square): Square => (s[0] ?? []).map((_, j) => s.flatMap((row) => row[j] ?? []))
const onRows = (m: Matrix, s: Square): Square => m.map((row) => turned(s).map((column) => combined(row, column)))
/** m s m^T, row by row. */
const onSquare = (m: Matrix, s: Square): readonly Expression[] => turned(onRows(m, turned(onRows(m, s)))).flat()

const range = (length: number): readonly number[] => Array.from({ length }, (_, i) => i)
const squareOf = (side: number, at: (i: number, j: number) => Expression): Square =>
  range(side).map((i) => range(side).map((j) => at(i, j)))

/** Which slot of 16 the products of each place of a tile go to. */
type Places = readonly number[]
const samePlaces: Places = range(tilePlaces)
const rotatedPlaces: Places = samePlaces.map(rotatedPlace)

/** From x[n, c, h, w] to y[n, o, oh, ow]. */
type Extent = Pick<Geometry, 'n' | 'c' | 'h' | 'w' | 'o' | 'oh' | 'ow' | 'top' | 'left'>
/**
 * Items are gone through in rounds, so that what is made of tiles is still in the caches when it is read; of each round a thread has
 * items of its part, from transform to transform back.
 */
interface Rounds {
  readonly parts: number
  readonly rounds: readonly number[]
  /** Of one part in one round. */
  readonly items: number
  readonly down: number
  readonly across: number
}
const roundsOf = ({ n, c, o, oh, ow }: Extent, { pieces, costs }: Draft): Rounds => {
  const parts = n % pieces === 0 ? pieces : 1
  const [down, across, whole] = [tilesAlong(oh), tilesAlong(ow), n / parts]
  const bytes = 4 * tilePlaces * down * across * Math.max(c, o)
  const items =
    range(whole + 1).findLast((k) => k > 0 && whole % k === 0 && (k === 1 || k * bytes <= costs.tiledBytes)) ?? 1
  return { parts, rounds: range(whole / items), items, down, across }
}
/** A picture's items of a round, [parts, items, h, w, c]. */
const inRound = (v: View, { parts, items }: Rounds, round: number): View => {
  const [n = 0, c = 0, h = 0, w = 0] = v.shape
  const [item = 0, channel = 0, row = 0, column = 0] = v.strides
  return {
    ...v,
    offset: v.offset + round * items * item,
    shape: [parts, items, h, w, c],
    strides: [(n / parts) * item, item, row, column, channel],
  }
}

/** Of each round x with zeros around it, as wide as the tiles; the zeros are written in the first. */
const padding = (
  draft: Draft,
  x: View,
  { c, h, w, oh, ow, top, left }: Extent,
  r: Rounds,
): ((round: number) => View) => {
  const [height, width] = [oh + 2, ow + 2]
  if (h === height && w === width) return (round) => inRound(x, r, round)
  const items = [r.parts, r.items]
  const into = draft.fresh([...items, height, width, c], undefined, x.element)
  const within = (y: number, down: number, z: number, right: number): View =>
    part(into, [0, 0, y, z, 0], [...items, down, right, c])
  const zeros = (of: View): void => {
    if (size(of.shape) > 0) draft.write(of, float(0))
  }
  return (round) => {
    if (round === 0) {
      zeros(within(0, top, 0, width))
      zeros(within(top + h, height - h - top, 0, width))
      zeros(within(top, h, 0, left))
      zeros(within(top, h, left + w, width - w - left))
    }
    draft.write(within(top, h, left, w), load(inRound(x, r, round)))
    return into
  }
}
/** The elements at each tile's place i, j, where tiles begin every 2 elements. */
const atTiles = (v: View, { parts, items, down, across }: Rounds, i: number, j: number): View => {
  const [one = 0, two = 0, row = 0, column = 0, channel = 0] = v.strides
  return {
    ...v,
    offset: v.offset + i * row + j * column,
    shape: [parts, items, down, across, v.shape[4] ?? 0],
    strides: [one, two, resultSide * row, resultSide * column, channel],
  }
}
/** One array a place, [parts, 16, ...shape]. */
const slotted = (
  { shape: [parts = 1, , ...shape], strides: [one = 0, slot = 0, ...strides], ...at }: View,
  place: number,
): View => ({
  ...at,
  offset: at.offset + place * slot,
  shape: [parts, ...shape],
  strides: [one, ...strides],
})
const tiled = (draft: Draft, values: readonly Expression[], shape: Shape, into: (place: number) => View): void =>
  draft.nest('tiles', {
    shape,
    values: values.map((value, place) => ({ value, into: into(place) })),
    reduced: [],
    reduction: undefined,
  })
/** Numbers of a cache line. */
const line = 16
/** Room for an array a place, [parts, 16, ...shape]: places begin a line further on than powers of 2, which caches would take for one another. */
const roomFor = (draft: Draft, parts: number, shape: Shape): View => {
  const [own, place] = [dense(0, shape), size(shape) + line]
  const { shape: _, strides: __, ...at } = draft.fresh([parts, tilePlaces, place])
  return { ...at, shape: [parts, tilePlaces, ...shape], strides: [tilePlaces * place, place, ...own.strides] }
}
/** Of tiles [parts, 16, items, down, across, c] the matrices [parts, 16, tiles, c]. */
const matricesOf = ({ shape, strides, ...at }: View): View => ({
  ...at,
  shape: [...shape.slice(0, 2), size(shape.slice(2, 5)), shape[5] ?? 0],
  strides: [...strides.slice(0, 2), ...strides.slice(4)],
})
const tilesFor = (draft: Draft, { parts, items, down, across }: Rounds, channels: number): View =>
  roomFor(draft, parts, [items, down, across, channels])
const swapped = (v: View): View => permuted(v, [...range(v.shape.length - 2), v.shape.length - 1, v.shape.length - 2])
/** Of a part its matrices, [16, rows, columns]; the same for all where there is one. */
const ofPart = (v: View, at: number): View => {
  const [parts = 1, ...shape] = v.shape
  return { ...v, offset: v.offset + (parts === 1 ? 0 : at * (v.strides[0] ?? 0)), shape, strides: v.strides.slice(1) }
}

/** What each part multiplies, and where to. */
const products = ({ parts }: Rounds, x: View, w: View, y: View): readonly (readonly [View, View, View])[] =>
  range(parts).map((at) => [ofPart(x, at), ofPart(w, at), ofPart(y, at)])

/** G g G^T of w[O, C, 3, 3], once for all that ask for it: [1, 16, O, C] */
export const filtersOf = (draft: Draft, { value, type }: Operand): View => {
  const weight = draft.stored(value, type.shape)
  const key = `filters ${keyOf(weight)}`
  const known = draft.remembered.get(key)
  if (known !== undefined) return known
  const [o = 0, c = 0] = type.shape
  const tap = (i: number, j: number): Expression =>
    load({ ...part(weight, [0, 0, i, j], [o, c, 1, 1]), shape: [1, o, c], strides: [0, ...weight.strides.slice(0, 2)] })
  const into = roomFor(draft, 1, [o, c])
  tiled(draft, onSquare(filterTransform, squareOf(3, tap)), [1, o, c], (place) => slotted(into, place))
  draft.remembered.set(key, into)
  return into
}
/** Filters [1, 16, O, C] as those of a convolution from C channels, or back, of which places are rotated. */
export const forward = (filters: View) => ({ filters: swapped(filters), places: samePlaces })
export const backward = (filters: View) => ({ filters, places: rotatedPlaces })

/** y[n, o, oh, ow] of x, channels-last, and filters[1, 16, c, o], and what is added to it. */
export const minimalConvolution = (
  draft: Draft,
  e: Extent,
  x: View,
  { filters, places }: ReturnType<typeof forward>,
  addends: readonly Operand[],
  dtype: DType,
): Expression => {
  const [r, shape] = [roundsOf(e, draft), [e.n, e.o, e.oh, e.ow]]
  const whole = draft.fresh(shape, channelsLast, draft.elementOfType(dtype))
  const lying = addends.map((a) => repeated(draft, a, shape))
  const [seen, sums, padded] = [tilesFor(draft, r, e.c), tilesFor(draft, r, e.o), padding(draft, x, e, r)]
  const slot = (place: number): number => places[place] ?? place
  for (const round of r.rounds) {
    const given = padded(round)
    const square = squareOf(tileSide, (i, j) => load(atTiles(given, r, i, j)))
    const own = [r.parts, r.items, r.down, r.across]
    tiled(draft, onSquare(tilesTransform, square), [...own, e.c], (place) => slotted(seen, slot(place)))
    multipliedApart(draft, products(r, matricesOf(seen), filters, matricesOf(sums)), minimal)
    const made = squareOf(tileSide, (i, j) => load(slotted(sums, slot(i * tileSide + j))))
    const at = (v: View, place: number): View =>
      atTiles(inRound(v, r, round), r, Math.floor(place / resultSide), place % resultSide)
    const results = onSquare(resultTransform, made).map((value, place) =>
      lying.reduce((sum, a) => apply('add', sum, overViews(a, (v) => at(v, place)) ?? a), value),
    )
    tiled(draft, results, [...own, e.o], (place) => at(whole, place))
  }
  return load(whole)
}

/** dw[O, C, 3, 3] = G^T ((A dY A^T) * (B^T d B)) G, summed over tiles. */
export const minimalWeightGradient = (draft: Draft, e: Geometry, x: View, dy: View): Expression => {
  const [r, { o, c }] = [roundsOf(e, draft), e]
  const [seen, own, padded] = [tilesFor(draft, r, c), tilesFor(draft, r, o), padding(draft, x, e, r)]
  const sums = roomFor(draft, r.parts, [o, c])
  const each = [r.parts, r.items, r.down, r.across]
  for (const round of r.rounds) {
    const [given, gradient] = [padded(round), inRound(dy, r, round)]
    const square = squareOf(tileSide, (i, j) => load(atTiles(given, r, i, j)))
    tiled(draft, onSquare(tilesTransform, square), [...each, c], (place) => slotted(seen, place))
    const results = squareOf(resultSide, (i, j) => load(atTiles(gradient, r, i, j)))
    tiled(draft, onSquare(transposed(resultTransform), results), [...each, o], (place) => slotted(own, place))
    multipliedApart(draft, products(r, swapped(matricesOf(own)), matricesOf(seen), sums), minimal, round > 0)
  }
  const slot = (i: number, j: number): Expression =>
    range(r.parts)
      .map((at) => load(part(ofPart(sums, at), [i * tileSide + j, 0, 0], [1, o, c])))
      .reduce((a, b) => apply('add', a, b))
  const dw = draft.fresh([o, c, 3, 3])
  const taps = onSquare(transposed(filterTransform), squareOf(tileSide, slot))
  tiled(draft, taps, [1, o, c], (tap) => ({
    ...part(dw, [0, 0, Math.floor(tap / 3), tap % 3], [o, c, 1, 1]),
    shape: [1, o, c],
    strides: [0, ...dw.strides.slice(0, 2)],
  }))
  return load(dw)
}
