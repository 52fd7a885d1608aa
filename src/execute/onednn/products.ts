import { type Shape, size } from '../../graph/types.ts'
import { argument, type Handle } from './api.ts'
import type { Draft, GivenPiece } from './draft.ts'
import { type Expression, float, load } from './expression.ts'
import type { Lowerings, Operand } from './lowering.ts'
import { cut } from './ranges.ts'
import { summedProduct } from './sums.ts'
import { dense, type Element, isDistinct, part, permuted, reshaped, type View } from './view.ts'

/** A matrix operand, [..., rows, columns], of which one of the two axes goes on element by element. */
const matrices = (draft: Draft, { value, type }: Operand, transpose: boolean, element: Element): View => {
  const view = draft.stored(value, type.shape, element)
  const [row = 0, column = 0] = view.strides.slice(-2)
  const [rows = 0, columns = 0] = view.shape.slice(-2)
  const isPlain = isDistinct(view) && (row === 1 || column === 1 || rows === 1 || columns === 1)
  const held = isPlain
    ? view
    : draft.store(
        load(view),
        view.shape,
        view.shape.map((_, i) => i),
      )
  const rank = view.shape.length
  return transpose ? permuted(held, [...held.shape.slice(0, -2).map((_, i) => i), rank - 1, rank - 2]) : held
}

/** Leading axes made one where the array allows it. */
const joined = (view: View, leading: number): View | undefined => reshaped(view, [leading, ...view.shape.slice(-2)])

/** a, b and y as arrays of as few axes as can be, alike in number. */
const aligned = (a: View, b: View, y: View): readonly [View, View, View] => {
  const batch = (v: View): Shape => v.shape.slice(0, -2)
  const flat = (v: View): View | undefined => reshaped(v, [size(v.shape.slice(0, -1)), v.shape.at(-1) ?? 0])
  const [many, single] = [size(batch(y)), size(batch(b)) === 1]
  if (single) {
    const [rows, weights, out] = [flat(a), reshaped(b, b.shape.slice(-2)), flat(y)]
    if (rows !== undefined && weights !== undefined && out !== undefined)
      return [stepped(rows), stepped(weights), stepped(out)]
  }
  if (batch(a).join() === batch(b).join()) {
    const [as, bs, ys] = [joined(a, many), joined(b, many), joined(y, many)]
    if (as !== undefined && bs !== undefined && ys !== undefined) return [stepped(as), stepped(bs), stepped(ys)]
  }
  const wide = (v: View): View => {
    const missing = y.shape.length - v.shape.length
    const ones = Array.from({ length: missing }, () => 1)
    return stepped({ ...v, shape: [...ones, ...v.shape], strides: [...ones, ...v.strides] })
  }
  return [wide(a), wide(b), stepped(y)]
}

/** Axes of length 1 stepped over as a product expects it: one axis goes on element by element, the others over whole rows. */
const stepped = (v: View): View => {
  const long = (i: number): boolean => (v.shape[i] ?? 1) !== 1
  const extent = v.shape.reduce((most, length, i) => (long(i) ? Math.max(most, length * (v.strides[i] ?? 1)) : most), 1)
  const isUnit = v.strides.some((s, i) => long(i) && s === 1)
  const unit = isUnit ? -1 : v.shape.findLastIndex((_, i) => !long(i))
  return { ...v, strides: v.strides.map((s, i) => (long(i) ? s : i === unit ? 1 : extent)) }
}

const product = (
  draft: Draft,
  [a, b, y]: readonly [View, View, View],
  attributes: Handle = draft.attributes,
): Handle | undefined => {
  const [da, db, dy] = [a, b, y].map((v) => draft.descriptorOf(v))
  if (da === undefined || db === undefined || dy === undefined) return undefined
  return draft.once(`product ${da} ${db} ${dy} ${attributes}`, () => {
    const { make, engine } = draft.library
    const made = make('dnnl_matmul_primitive_desc_create', engine, da, db, null, dy, attributes)
    return made === undefined ? undefined : draft.ownership.own('dnnl_primitive_desc_destroy', made)
  })
}
const rowMajor = (draft: Draft, v: View): View =>
  draft.store(
    load(v),
    v.shape,
    v.shape.map((_, i) => i),
  )

/** A product cut along the first axis of the result that has something to cut. */
const cutProduct = (
  draft: Draft,
  [x, w, y]: readonly [View, View, View],
  attributes: Handle = draft.attributes,
  pieces: number = draft.pieces,
): readonly GivenPiece[] | undefined => {
  const along = y.shape.findIndex((length, axis) => length > 1 && axis < y.shape.length - 1)
  const flops = 2 * size(y.shape) * (x.shape.at(-1) ?? 1)
  const ranges = along < 0 || flops < draft.costs.worthCutting.flops ? cut(1, 1) : cut(y.shape[along] ?? 1, pieces)
  const within = (v: View, [from, to]: readonly [number, number]): View => {
    if (ranges.length === 1 || v.shape[along] !== y.shape[along]) return v
    const start = v.shape.map((_, i) => (i === along ? from : 0))
    return part(
      v,
      start,
      v.shape.map((d, i) => (i === along ? to - from : d)),
    )
  }
  const isRow = along === y.shape.length - 2
  const known = new Map<string, Handle | undefined>()
  const all = ranges.map((range): GivenPiece | undefined => {
    const [a, b, c] = [within(x, range), isRow ? w : within(w, range), within(y, range)]
    const key = `${range[1] - range[0]}`
    const descriptor = known.has(key) ? known.get(key) : product(draft, [a, b, c], attributes)
    known.set(key, descriptor)
    const [from, by, to] = [draft.arrayOf(a), draft.arrayOf(b), draft.arrayOf(c)]
    if (descriptor === undefined || from === undefined || by === undefined || to === undefined) return undefined
    return {
      descriptor,
      reads: [
        [argument.source, from],
        [argument.weights, by],
      ],
      writes: [[argument.destination, to]],
    }
  })
  const found = all.flatMap((p) => p ?? [])
  return found.length === all.length ? found : undefined
}

/** y = x w, all of as many axes: as they lie, or row-major, where the library is fast so. False where it is not. */
const multiplied = (draft: Draft, [x, w, y]: readonly [View, View, View]): boolean => {
  const fast = (...of: readonly [View, View, View]): readonly GivenPiece[] | undefined => {
    const pieces = cutProduct(draft, of)
    return pieces?.every(({ descriptor }) => !draft.isRefused(descriptor)) === true ? pieces : undefined
  }
  const inRows = (v: View): View => dense(v.buffer, v.shape, undefined, v.element)
  const pieces =
    fast(x, w, y) ?? (fast(inRows(x), inRows(w), y) && cutProduct(draft, [rowMajor(draft, x), rowMajor(draft, w), y]))
  if (pieces !== undefined) draft.primitive('product', pieces, { flops: flopsOf(x, y), element: x.element })
  return pieces !== undefined
}

const flopsOf = (x: View, y: View): number => 2 * size(y.shape) * (x.shape.at(-1) ?? 1)
/** Products y = x w of which each thread has one, or one that is cut; added to what y has, or put in its place. */
export const multipliedApart = (
  draft: Draft,
  all: readonly (readonly [x: View, w: View, y: View])[],
  way: string,
  isAdded = false,
): void => {
  const attributes = isAdded ? draft.attributesWith([], true) : draft.attributes
  const flops = all.reduce((sum, [x, , y]) => sum + flopsOf(x, y), 0)
  const [only, ...others] = all
  const pieces =
    only !== undefined && others.length === 0
      ? cutProduct(draft, only, attributes)
      : all.flatMap((one) => cutProduct(draft, one, attributes, 1) ?? [])
  if (pieces === undefined || pieces.length < all.length) throw new Error('the library has no product of these shapes')
  draft.primitive('product', pieces, { flops, way })
}

export const products: Lowerings<'matmul'> = {
  matmul: ({ transposeA, transposeB }, [a, b], { shape, dtype }, draft) => {
    if (size(shape) === 0 || size(a.type.shape) === 0) return load(draft.store(float(0), shape))
    const matricesOf = (of: Element): readonly [View, View] => [
      matrices(draft, a, transposeA, of),
      matrices(draft, b, transposeB, of),
    ]
    const made = (of: Element, result: Element): Expression | undefined => {
      const into = draft.fresh(shape, undefined, result)
      return multiplied(draft, aligned(...matricesOf(of), into)) ? load(into) : undefined
    }
    const [one, other] = [a, b].map(({ value }) => draft.elementOfValue(value))
    const half =
      one === undefined || one !== other || one === 'word' ? undefined : made(one, draft.elementOfType(dtype))
    return half ?? made('word', 'word') ?? summedProduct(draft, ...matricesOf('word'), shape)
  },
}
