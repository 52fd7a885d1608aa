import type { Attributes } from '../../graph/ops.ts'
import { type Shape, size } from '../../graph/types.ts'
import { argument, direct, forwardTraining, type Handle, query } from './api.ts'
import { type Draft, int64 } from './draft.ts'
import { type Expression, float, load } from './expression.ts'
import type { Lowerings, Operand } from './lowering.ts'
import { dense, isDistinct, permuted, reshaped, type View } from './view.ts'

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
      null,
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
          null,
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
          null,
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
  readonly shape: Shape
  readonly operand?: Operand
}
/** A convolution of any direction: operands in their layouts, the result as an array of ours. */
const convolved = (
  draft: Draft,
  which: Which,
  window: Window,
  shapes: Shapes,
  given: readonly [Role, Role],
  result: Role,
): Expression => {
  const order = which === 'weight' ? [0, 1, 2, 3] : channelsLast
  if ([shapes.x, shapes.weight, shapes.y].some((s) => size(s) === 0))
    return load(draft.store(float(0), result.shape, order))
  const descriptor = chosen(draft, which, window, shapes)
  const descriptorFor = (index: number): Handle => {
    const found = draft.library.ask('dnnl_primitive_desc_query_md', descriptor, index, 0)
    return typeof found === 'bigint' ? found : null
  }
  const reads = given.map(({ argument: to, descriptor: d, operand, shape }) => {
    const isWeight = d === query.weights
    const value = operand?.value ?? float(0)
    const view = isWeight ? draft.stored(value, shape) : draft.laid(value, shape, channelsLast)
    return [
      to,
      draft.formatted(isWeight ? solid(draft, view) : canonical(view, channelsLast), descriptorFor(d)),
    ] as const
  })
  const into = draft.fresh(result.shape, order)
  const wanted = descriptorFor(result.descriptor)
  const own = draft.arrayOf(into)
  if (own === undefined) throw new Error('an array of 4 axes has no descriptor')
  const isOwn = draft.library.ask('dnnl_memory_desc_equal', own.descriptor, wanted) === 1
  const made = isOwn ? own : draft.inFormat(wanted)
  draft.primitive(descriptor, reads, [[result.argument, made]])
  if (!isOwn && !draft.reorder(made, own)) throw new Error('the library cannot reorder a result')
  return load(into)
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
  const made = draft.library.make('dnnl_matmul_primitive_desc_create', draft.library.engine, da, db, null, dy, null)
  return made === undefined ? undefined : draft.ownership.own('dnnl_primitive_desc_destroy', made)
}
const rowMajor = (draft: Draft, v: View): View =>
  draft.store(
    load(v),
    v.shape,
    v.shape.map((_, i) => i),
  )

export const products: Lowerings<'matmul' | 'conv2d' | 'convInputGrad' | 'convWeightGrad'> = {
  matmul: ({ transposeA, transposeB }, [a, b], { shape }, draft) => {
    if (size(shape) === 0 || size(a.type.shape) === 0) return load(draft.store(float(0), shape))
    const into = draft.fresh(shape)
    const [x, w, y] = aligned(matrices(draft, a, transposeA), matrices(draft, b, transposeB), into)
    const asTheyLie = product(draft, x, w, y)
    const isFast = asTheyLie !== undefined && !isReference(draft.library.implementation(asTheyLie))
    const [left, right] = isFast ? [x, w] : [rowMajor(draft, x), rowMajor(draft, w)]
    const descriptor = isFast ? asTheyLie : product(draft, left, right, y)
    const [from, by, to] = [draft.arrayOf(left), draft.arrayOf(right), draft.arrayOf(y)]
    if (descriptor === undefined || from === undefined || by === undefined || to === undefined)
      throw new Error('the library has no product of these shapes')
    draft.primitive(
      descriptor,
      [
        [argument.source, from],
        [argument.weights, by],
      ],
      [[argument.destination, to]],
    )
    return load(into)
  },
  conv2d: (window, [x, weight], { shape }, draft) =>
    convolved(
      draft,
      'forward',
      window,
      { x: shapeOf(x), weight: shapeOf(weight), y: shape },
      [
        { argument: argument.source, descriptor: query.source, operand: x, shape: shapeOf(x) },
        { argument: argument.weights, descriptor: query.weights, operand: weight, shape: shapeOf(weight) },
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
        { argument: argument.diffDestination, descriptor: query.diffDestination, operand: dy, shape: shapeOf(dy) },
        { argument: argument.weights, descriptor: query.weights, operand: weight, shape: shapeOf(weight) },
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
        { argument: argument.source, descriptor: query.source, operand: x, shape: shapeOf(x) },
        { argument: argument.diffDestination, descriptor: query.diffDestination, operand: dy, shape: shapeOf(dy) },
      ],
      { argument: argument.diffWeights, descriptor: query.diffWeights, shape },
    ),
}
