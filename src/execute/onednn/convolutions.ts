import type { Attributes, OpOf } from '../../graph/ops.ts'
import { type Shape, size } from '../../graph/types.ts'
import { geometry } from '../geometry.ts'
import { argument, direct, forwardTraining, type Handle, query } from './api.ts'
import { reversed } from './decide.ts'
import { cut, type Draft, type GivenPiece, int64, isReference } from './draft.ts'
import { apply, type Expression, float, load, spreadTo } from './expression.ts'
import type { Lowerings, Operand } from './lowering.ts'
import { backward, filtersOf, forward, minimalConvolution, minimalWeightGradient } from './minimal.ts'
import { canonical, channelsLast, dense, isDistinct, itemsOf, liesAs, spread, type View } from './view.ts'

type Window = Attributes['conv2d']
const windowOf = ({ stride, padding: [top = 0, left = 0, bottom = 0, right = 0] }: Window) =>
  [int64(stride), int64([0, 0]), int64([top, left]), int64([bottom, right])] as const

type Which = OpOf<'convolution'>
interface Shapes {
  readonly x: Shape
  readonly weight: Shape
  readonly y: Shape
}
/** What the primitive adds to its result before it writes it: a number for each channel, then arrays, [N, C, H, W] or [N, C, 1, 1]. */
interface Folded {
  readonly bias: View | undefined
  readonly others: readonly View[]
}
const nothing: Folded = { bias: undefined, others: [] }

/** A convolution's descriptor with x and y in the given layouts; undefined where there is none. */
const convolution = (
  draft: Draft,
  which: Which,
  window: Window,
  [x, weight, y]: readonly [Handle, Handle, Handle],
  { bias, attributes }: { readonly bias: Handle; readonly attributes: Handle },
): Handle | undefined => {
  const { make, engine } = draft.library
  const key = (of: string): string => `${of} ${window.stride} ${window.padding} ${[x, weight, y, bias, attributes]}`
  const own = (of: string, create: () => Handle | undefined): Handle | undefined =>
    draft.once(key(of), () => {
      const made = create()
      return made === undefined ? undefined : draft.ownership.own('dnnl_primitive_desc_destroy', made)
    })
  const edges = windowOf(window)
  const how = [engine, forwardTraining, direct, x, weight, bias, y, ...edges, attributes] as const
  const forward = own('conv2d', () => make('dnnl_convolution_forward_primitive_desc_create', ...how))
  if (which === 'conv2d' || forward === undefined) return forward
  const back = [...edges, forward, draft.attributes] as const
  return own(which, () =>
    which === 'convInputGrad'
      ? make('dnnl_convolution_backward_data_primitive_desc_create', engine, direct, x, weight, y, ...back)
      : make('dnnl_convolution_backward_weights_primitive_desc_create', engine, direct, x, weight, null, y, ...back),
  )
}

/** The arrays channels-last, or in what layout an implementation likes best where only that has one. */
const chosen = (
  draft: Draft,
  which: Which,
  window: Window,
  { x, weight, y }: Shapes,
  { bias, others }: Folded,
): Handle => {
  const weights = draft.anyDescriptor(weight)
  const nhwc = (shape: Shape): Handle => draft.descriptorOf(dense(0, shape, channelsLast)) ?? null
  const after = {
    bias: bias === undefined ? null : (draft.descriptorOf(bias) ?? null),
    attributes: draft.attributesWith(others.map((v) => draft.descriptorOf(itemsOf(v, [0, x[0] ?? 1])) ?? null)),
  }
  const isFast = (d: Handle | undefined): boolean => d !== undefined && !isReference(draft.library.implementation(d))
  const last = convolution(draft, which, window, [nhwc(x), weights, nhwc(y)], after)
  if (last !== undefined && isFast(last)) return last
  const free = convolution(draft, which, window, [draft.anyDescriptor(x), weights, draft.anyDescriptor(y)], after)
  const found = isFast(free) ? free : (last ?? free)
  if (found === undefined) throw new Error('the library has no convolution of these shapes')
  return found
}

interface Role {
  readonly argument: number
  readonly descriptor: number
}
/** Of each direction what is read, and what is written. */
const roles: { readonly [W in Which]: { readonly given: readonly [Role, Role]; readonly result: Role } } = {
  conv2d: {
    given: [
      { argument: argument.source, descriptor: query.source },
      { argument: argument.weights, descriptor: query.weights },
    ],
    result: { argument: argument.destination, descriptor: query.destination },
  },
  convInputGrad: {
    given: [
      { argument: argument.diffDestination, descriptor: query.diffDestination },
      { argument: argument.weights, descriptor: query.weights },
    ],
    result: { argument: argument.diffSource, descriptor: query.diffSource },
  },
  convWeightGrad: {
    given: [
      { argument: argument.source, descriptor: query.source },
      { argument: argument.diffDestination, descriptor: query.diffDestination },
    ],
    result: { argument: argument.diffWeights, descriptor: query.diffWeights },
  },
}
const isPicture = (descriptor: number): boolean => descriptor !== query.weights && descriptor !== query.diffWeights

/** What is added, as a primitive can; undefined where it cannot. */
const foldedWith = ({ bias, others }: Folded, v: View): Folded | undefined => {
  const [n = 0, c = 0, h = 0, w = 0] = v.shape
  const repeats = (axis: number): boolean => v.shape[axis] === 1 || v.strides[axis] === 0
  if (liesAs(v, channelsLast)) return { bias, others: [...others, canonical(v, channelsLast)] }
  if (!repeats(2) || !repeats(3) || (c > 1 && v.strides[1] !== 1) || h * w === 1) return undefined
  if (n > 1 && repeats(0)) return bias === undefined ? { bias: { ...v, shape: [c], strides: [1] }, others } : undefined
  return n > 1 && v.strides[0] !== c
    ? undefined
    : { bias, others: [...others, { ...v, shape: [n, c, 1, 1], strides: [c, 1, 1, 1] }] }
}
/** Addends that the primitive is given, and those that have to be added to what it makes. */
const folding = (draft: Draft, addends: readonly Operand[], shape: Shape) => {
  let folded = nothing
  const left: Expression[] = []
  for (const { value, type } of addends) {
    const isThere = value.kind === 'load' || (value.kind === 'apply' && size(type.shape) * 4 <= size(shape))
    const next = isThere ? foldedWith(folded, spread(draft.stored(value, type.shape), shape)) : undefined
    if (next === undefined) left.push(spreadTo(value, shape))
    else folded = next
  }
  return { folded, left }
}

/**
 * A convolution of any direction, in pieces of some items each: operands in their layouts, the result as an array of ours. The
 * pieces of a weight's gradient are summed.
 */
const convolved = (
  draft: Draft,
  which: Which,
  window: Window,
  shapes: Shapes,
  operands: readonly [Operand, Operand],
  shape: Shape,
  addends: readonly Operand[],
): Expression => {
  const { given, result } = roles[which]
  const order = isPicture(result.descriptor) ? channelsLast : [0, 1, 2, 3]
  const held = given.map((role, i) => {
    const { value, type } = operands[i] ?? operands[0]
    return {
      ...role,
      view: isPicture(role.descriptor)
        ? pictures(draft, { value, type })
        : solid(draft, draft.stored(value, type.shape)),
    }
  })
  /** The descriptor for so many items. */
  const choosing = (folded: Folded): ((count: number) => Handle) => {
    const known = new Map<number, Handle>()
    return (count) => {
      const [x = [], y = []] = [shapes.x, shapes.y].map((s) => [count, ...s.slice(1)])
      const found = known.get(count) ?? chosen(draft, which, window, { ...shapes, x, y }, folded)
      known.set(count, found)
      return found
    }
  }
  /** Whether pictures lie as the primitive wants them, and so can be given from any item on. */
  const isPlain = (count: number, descriptorFor: (count: number) => Handle): boolean => {
    const ends = [...held.map(({ descriptor, view }) => ({ descriptor, shape: view.shape })), { ...result, shape }]
    return ends.every(({ descriptor, shape: whole }) => {
      if (!isPicture(descriptor)) return true
      const own = draft.descriptorOf(dense(0, [count, ...whole.slice(1)], channelsLast)) ?? null
      return draft.library.ask('dnnl_memory_desc_equal', own, draft.asked(descriptorFor(count), descriptor)) === 1
    })
  }
  const bare = choosing(nothing)
  const count = shapes.x[0] ?? 1
  const flops = 2 * size(shapes.y) * size(shapes.weight.slice(1))
  const cuts = cut(count, flops < draft.costs.worthCutting.flops ? 1 : draft.pieces)
  const allPlain = cuts.every(([from, to]) => isPlain(to - from, bare))
  const ranges = allPlain ? cuts : cut(count, 1)

  const offered = folding(draft, addends, shape)
  const adding = choosing(offered.folded)
  const implementation = (descriptorFor: (count: number) => Handle, items: number): string =>
    draft.library.implementation(descriptorFor(items))
  const adds =
    allPlain &&
    ranges.every(([from, to]) => {
      const items = to - from
      return isPlain(items, adding) && implementation(adding, items) === implementation(bare, items)
    })
  const { folded, left } = adds
    ? offered
    : { folded: nothing, left: addends.map(({ value }) => spreadTo(value, shape)) }
  const descriptorFor = adds ? adding : bare

  const whole = draft.fresh(shape, order)
  const reorders: (() => void)[] = []
  const made = ranges.map((range): { readonly piece: GivenPiece; readonly view: View } => {
    const descriptor = descriptorFor(range[1] - range[0])
    const reads = held.map(({ argument: to, descriptor: d, view }) => {
      const own = isPicture(d) && ranges.length > 1 ? canonical(itemsOf(view, range), channelsLast) : view
      return [to, draft.formatted(own, draft.asked(descriptor, d))] as const
    })
    const bias = folded.bias === undefined ? [] : [[argument.bias, draft.given(folded.bias)] as const]
    const others = folded.others.map((v, at) => [argument.addend(at), draft.given(itemsOf(v, range))] as const)
    const isShared = isPicture(result.descriptor) || range[0] === 0
    const into = isPicture(result.descriptor) && ranges.length > 1 ? itemsOf(whole, range) : whole
    const view = isShared ? into : draft.fresh(shape, order)
    const wanted = draft.asked(descriptor, result.descriptor)
    const own = draft.given(isPicture(result.descriptor) ? canonical(view, channelsLast) : view)
    const isOwn = draft.library.ask('dnnl_memory_desc_equal', own.descriptor, wanted) === 1
    const written = isOwn ? own : draft.inFormat(wanted)
    if (!isOwn)
      reorders.push(() => {
        if (!draft.reorder(written, own)) throw new Error('the library cannot reorder a result')
      })
    return { piece: { descriptor, reads: [...reads, ...bias, ...others], writes: [[result.argument, written]] }, view }
  })
  const pieces = made.map(({ piece }) => piece)
  draft.primitive('product', pieces, flops)
  for (const reorder of reorders) reorder()
  const all = isPicture(result.descriptor) ? [load(whole)] : made.map(({ view }) => load(view))
  return [...all, ...left].reduce((a, b) => apply('add', a, b))
}
/** A picture's array, channels-last. */
const pictures = (draft: Draft, { value, type }: Operand): View =>
  canonical(draft.laid(value, type.shape, channelsLast), channelsLast)
/** An array of which no element is seen twice. */
const solid = (draft: Draft, view: View): View => (isDistinct(view) ? view : draft.store(load(view), view.shape))

const shapeOf = ({ type }: Operand): Shape => type.shape
/** Of what has no elements, or is a sum over none: 0, and what is added. */
const empty = (draft: Draft, shape: Shape, addends: readonly Operand[]): Expression =>
  [load(draft.store(float(0), shape)), ...addends.map(({ value }) => spreadTo(value, shape))].reduce((a, b) =>
    apply('add', a, b),
  )
const isEmpty = (...all: readonly Shape[]): boolean => all.some((s) => size(s) === 0)

export const convolutions: Lowerings<OpOf<'convolution'>> = {
  conv2d: (window, [x, weight], { shape }, draft, _, { isMinimal, addends }) => {
    const shapes = { x: shapeOf(x), weight: shapeOf(weight), y: shape }
    if (isEmpty(shapes.x, shapes.weight, shape)) return empty(draft, shape, addends)
    if (!isMinimal) return convolved(draft, 'conv2d', window, shapes, [x, weight], shape, addends)
    const g = geometry(shapes.x, shapes.weight, shape, window)
    return minimalConvolution(draft, g, pictures(draft, x), forward(filtersOf(draft, weight)), addends)
  },
  convInputGrad: (window, [dy, weight], { shape }, draft, _, { isMinimal, addends }) => {
    const shapes = { x: shape, weight: shapeOf(weight), y: shapeOf(dy) }
    if (isEmpty(shapes.y, shapes.weight, shape)) return empty(draft, shape, addends)
    const g = reversed(geometry(shape, shapes.weight, shapes.y, window))
    if (!isMinimal || g === undefined)
      return convolved(draft, 'convInputGrad', window, shapes, [dy, weight], shape, addends)
    return minimalConvolution(draft, g, pictures(draft, dy), backward(filtersOf(draft, weight)), addends)
  },
  convWeightGrad: (window, [x, dy], { shape }, draft, _, { isMinimal }) => {
    const shapes = { x: shapeOf(x), weight: shape, y: shapeOf(dy) }
    if (isEmpty(shapes.x, shapes.y, shape)) return empty(draft, shape, [])
    return isMinimal
      ? minimalWeightGradient(
          draft,
          geometry(shapes.x, shape, shapes.y, window),
          pictures(draft, x),
          pictures(draft, dy),
        )
      : convolved(draft, 'convWeightGrad', window, shapes, [x, dy], shape, [])
  },
}
