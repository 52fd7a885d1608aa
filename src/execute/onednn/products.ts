import type { Attributes } from '../../graph/ops.ts'
import { type Shape, size } from '../../graph/types.ts'
import { argument, direct, forwardTraining, type Handle, query } from './api.ts'
import { worthCutting } from './costs.ts'
import { cut, type Draft, type GivenPiece, int64 } from './draft.ts'
import { apply, type Expression, float, load } from './expression.ts'
import type { Lowerings, Operand } from './lowering.ts'
import { dense, isDistinct, part, permuted, reshaped, type View } from './view.ts'

const channelsLast: Shape = [0, 2, 3, 1]
/** An implementation that is right and not meant to be fast. */
const isReference = (name: string): boolean => name.startsWith('ref') || name.startsWith('simple')

type Window = Attributes['conv2d']
const windowOf = ({ stride, padding: [top = 0, left = 0, bottom = 0, right = 0] }: Window) =>
  [int64(stride), int64([0, 0]), int64([top, left]), int64([bottom, right])] as const

interface Shapes {
  readonly x: Shape
  readonly weight: Shape
  readonly y: Shape
}
type Which = 'forward' | 'input' | 'weight'

/** A convolution's descriptor with x and y in the given layouts; undefined where there is none. */
const convolution = (draft: Draft, which: Which, window: Window, x: Handle, weight: Handle, y: Handle) => {
  const { make, engine } = draft.library
  const own = (made: Handle | undefined) =>
    made === undefined ? undefined : draft.ownership.own('dnnl_primitive_desc_destroy', made)
  const edges = windowOf(window)
  const forward = own(
    make(
      'dnnl_convolution_forward_primitive_desc_create',
      engine,
      forwardTraining,
      direct,
      x,
      weight,
      null,
      y,
      ...edges,
      draft.attributes,
    ),
  )
  if (which === 'forward' || forward === undefined) return forward
  return own(
    which === 'input'
      ? make(
          'dnnl_convolution_backward_data_primitive_desc_create',
          engine,
          direct,
          x,
          weight,
          y,
          ...edges,
          forward,
          draft.attributes,
        )
      : make(
          'dnnl_convolution_backward_weights_primitive_desc_create',
          engine,
          direct,
          x,
          weight,
          null,
          y,
          ...edges,
          forward,
          draft.attributes,
        ),
  )
}

/** The arrays channels-last, or in what layout an implementation likes best where only that has one. */
const chosen = (draft: Draft, which: Which, window: Window, { x, weight, y }: Shapes): Handle => {
  const weights = draft.anyDescriptor(weight)
  const nhwc = (shape: Shape): Handle => draft.descriptorOf(dense(0, shape, channelsLast)) ?? null
  const last = convolution(draft, which, window, nhwc(x), weights, nhwc(y))
  if (last !== undefined && !isReference(draft.library.implementation(last))) return last
  const free = convolution(draft, which, window, draft.anyDescriptor(x), weights, draft.anyDescriptor(y))
  const found = free !== undefined && !isReference(draft.library.implementation(free)) ? free : (last ?? free)
  if (found === undefined) throw new Error('the library has no convolution of these shapes')
  return found
}

interface Role {
  readonly argument: number
  readonly descriptor: number
  readonly operand: Operand
}
interface Outcome {
  readonly argument: number
  readonly descriptor: number
  readonly shape: Shape
}
/** Items from one on up to another of an array whose first axis they are. */
const items = (view: View, [from, to]: readonly [number, number]): View =>
  part(view, [from, ...view.shape.slice(1).map(() => 0)], [to - from, ...view.shape.slice(1)])

/**
 * A convolution of any direction, in pieces of some items each: operands in their layouts, the result as an array of ours. The
 * pieces of a weight's gradient are summed.
 */
const convolved = (
  draft: Draft,
  which: Which,
  window: Window,
  shapes: Shapes,
  given: readonly [Role, Role],
  result: Outcome,
): Expression => {
  const isPicture = (descriptor: number): boolean => descriptor !== query.weights && descriptor !== query.diffWeights
  const order = isPicture(result.descriptor) ? channelsLast : [0, 1, 2, 3]
  if ([shapes.x, shapes.weight, shapes.y].some((s) => size(s) === 0))
    return load(draft.store(float(0), result.shape, order))
  const held = given.map(({ argument: to, descriptor, operand: { value, type } }) => ({
    to,
    descriptor,
    view: isPicture(descriptor)
      ? canonical(draft.laid(value, type.shape, channelsLast), channelsLast)
      : solid(draft, draft.stored(value, type.shape)),
  }))
  const known = new Map<number, Handle>()
  /** The descriptor for so many items. */
  const forItems = (count: number): Handle => {
    const [x, y] = [shapes.x, shapes.y].map((s) => [count, ...s.slice(1)])
    const found = known.get(count) ?? chosen(draft, which, window, { ...shapes, x: x ?? [], y: y ?? [] })
    known.set(count, found)
    return found
  }
  /** Whether pictures lie as the primitive wants them, and so can be given from any item on. */
  const isPlain = (count: number): boolean => {
    const ends = [...held.map(({ descriptor, view }) => ({ descriptor, shape: view.shape })), result]
    return ends.every(({ descriptor, shape }) => {
      if (!isPicture(descriptor)) return true
      const own = draft.descriptorOf(dense(0, [count, ...shape.slice(1)], channelsLast)) ?? null
      return draft.library.ask('dnnl_memory_desc_equal', own, draft.asked(forItems(count), descriptor)) === 1
    })
  }
  const count = shapes.x[0] ?? 1
  const flops = 2 * size(shapes.y) * size(shapes.weight.slice(1))
  const cuts = cut(count, flops < worthCutting.flops ? 1 : draft.pieces)
  const ranges = cuts.length > 1 && cuts.every(([from, to]) => isPlain(to - from)) ? cuts : cut(count, 1)

  const whole = draft.fresh(result.shape, order)
  const reorders: (() => void)[] = []
  const made = ranges.map((range): { readonly piece: GivenPiece; readonly view: View } => {
    const descriptor = forItems(range[1] - range[0])
    const reads = held.map(({ to, descriptor: d, view }) => {
      const own = isPicture(d) && ranges.length > 1 ? canonical(items(view, range), channelsLast) : view
      return [to, draft.formatted(own, draft.asked(descriptor, d))] as const
    })
    const isShared = isPicture(result.descriptor) || range[0] === 0
    const into = isPicture(result.descriptor) && ranges.length > 1 ? items(whole, range) : whole
    const view = isShared ? into : draft.fresh(result.shape, order)
    const wanted = draft.asked(descriptor, result.descriptor)
    const own = draft.arrayOf(isPicture(result.descriptor) ? canonical(view, channelsLast) : view)
    if (own === undefined) throw new Error('an array of 4 axes has no descriptor')
    const isOwn = draft.library.ask('dnnl_memory_desc_equal', own.descriptor, wanted) === 1
    const written = isOwn ? own : draft.inFormat(wanted)
    if (!isOwn)
      reorders.push(() => {
        if (!draft.reorder(written, own)) throw new Error('the library cannot reorder a result')
      })
    return { piece: { descriptor, reads, writes: [[result.argument, written]] }, view }
  })
  draft.primitive(
    'product',
    made.map(({ piece }) => piece),
  )
  for (const reorder of reorders) reorder()
  return isPicture(result.descriptor)
    ? load(whole)
    : made.map(({ view }) => load(view)).reduce((a, b) => apply('add', a, b))
}
/** Steps along axes of length 1 as an array without gaps has them. */
const canonical = (view: View, order: Shape): View => ({
  ...dense(view.buffer, view.shape, order),
  offset: view.offset,
})
/** An array of which no element is seen twice. */
const solid = (draft: Draft, view: View): View => (isDistinct(view) ? view : draft.store(load(view), view.shape))

const shapeOf = ({ type }: Operand): Shape => type.shape

/** A matrix operand, [..., rows, columns], of which one of the two axes goes on element by element. */
const matrices = (draft: Draft, { value, type }: Operand, transpose: boolean): View => {
  const view = draft.stored(value, type.shape)
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

const product = (draft: Draft, a: View, b: View, y: View): Handle | undefined => {
  const [da, db, dy] = [a, b, y].map((v) => draft.descriptorOf(v))
  if (da === undefined || db === undefined || dy === undefined) return undefined
  const made = draft.library.make(
    'dnnl_matmul_primitive_desc_create',
    draft.library.engine,
    da,
    db,
    null,
    dy,
    draft.attributes,
  )
  return made === undefined ? undefined : draft.ownership.own('dnnl_primitive_desc_destroy', made)
}
const rowMajor = (draft: Draft, v: View): View =>
  draft.store(
    load(v),
    v.shape,
    v.shape.map((_, i) => i),
  )

/** A product cut along the first axis of the result that has something to cut. */
const cutProduct = (draft: Draft, [x, w, y]: readonly [View, View, View]): readonly GivenPiece[] | undefined => {
  const along = y.shape.findIndex((length, axis) => length > 1 && axis < y.shape.length - 1)
  const flops = 2 * size(y.shape) * (x.shape.at(-1) ?? 1)
  const ranges = along < 0 || flops < worthCutting.flops ? cut(1, 1) : cut(y.shape[along] ?? 1, draft.pieces)
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
    const descriptor = known.has(key) ? known.get(key) : product(draft, a, b, c)
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

export const products: Lowerings<'matmul' | 'conv2d' | 'convInputGrad' | 'convWeightGrad'> = {
  matmul: ({ transposeA, transposeB }, [a, b], { shape }, draft) => {
    if (size(shape) === 0 || size(a.type.shape) === 0) return load(draft.store(float(0), shape))
    const into = draft.fresh(shape)
    const [x, w, y] = aligned(matrices(draft, a, transposeA), matrices(draft, b, transposeB), into)
    const asTheyLie = cutProduct(draft, [x, w, y])
    const isFast = asTheyLie?.every(({ descriptor }) => !isReference(draft.library.implementation(descriptor))) === true
    const pieces = isFast ? asTheyLie : cutProduct(draft, [rowMajor(draft, x), rowMajor(draft, w), y])
    if (pieces === undefined) throw new Error('the library has no product of these shapes')
    draft.primitive('product', pieces)
    return load(into)
  },
  conv2d: (window, [x, weight], { shape }, draft) =>
    convolved(
      draft,
      'forward',
      window,
      { x: shapeOf(x), weight: shapeOf(weight), y: shape },
      [
        { argument: argument.source, descriptor: query.source, operand: x },
        { argument: argument.weights, descriptor: query.weights, operand: weight },
      ],
      { argument: argument.destination, descriptor: query.destination, shape },
    ),
  convInputGrad: (window, [dy, weight], { shape }, draft) =>
    convolved(
      draft,
      'input',
      window,
      { x: shape, weight: shapeOf(weight), y: shapeOf(dy) },
      [
        { argument: argument.diffDestination, descriptor: query.diffDestination, operand: dy },
        { argument: argument.weights, descriptor: query.weights, operand: weight },
      ],
      { argument: argument.diffSource, descriptor: query.diffSource, shape },
    ),
  convWeightGrad: (window, [x, dy], { shape }, draft) =>
    convolved(
      draft,
      'weight',
      window,
      { x: shapeOf(x), weight: shape, y: shapeOf(dy) },
      [
        { argument: argument.source, descriptor: query.source, operand: x },
        { argument: argument.diffDestination, descriptor: query.diffDestination, operand: dy },
      ],
      { argument: argument.diffWeights, descriptor: query.diffWeights, shape },
    ),
}
