import type { Attributes, OpOf } from '../../graph/ops.ts'
import { type Shape, size, type TensorType } from '../../graph/types.ts'
import { geometry } from '../geometry.ts'
import { argument, direct, forwardTraining, type Handle, query } from './api.ts'
import { reversed } from './decide.ts'
import { type Draft, type GivenPiece, int64 } from './draft.ts'
import { apply, type Expression, float, load, spreadTo, unrounded } from './expression.ts'
import type { Lowerings, Operand } from './lowering.ts'
import { backward, filtersOf, forward, minimalConvolution, minimalWeightGradient } from './minimal.ts'
import { cut } from './ranges.ts'
import { summedConvolutions } from './sums.ts'
import { canonical, channelsLast, dense, type Element, isDistinct, itemsOf, liesAs, spread, type View } from './view.ts'

type Window = Attributes['conv2d']
const windowOf = ({ stride, padding: [top = 0, left = 0, bottom = 0, right = 0] }: Window) =>
  [int64(stride), int64([0, 0]), int64([top, left]), int64([bottom, right])] as const

type Which = OpOf<'convolution'>
interface Shapes {
  readonly x: Shape
  readonly weight: Shape
  readonly y: Shape
}
/** As what arrays lie for a primitive. */
interface Elements {
  readonly operands: Element
  readonly result: Element
}
/** What the primitive adds to its result before it writes it: a number for each channel, then arrays, [N, C, H, W] or [N, C, 1, 1]. */
interface Folded {
  readonly bias: View | undefined
  readonly others: readonly View[]
}
const nothing: Folded = { bias: undefined, others: [] }

type Arrays = { readonly [K in keyof Shapes]: Handle }
/** A convolution's descriptor of arrays, that of a gradient by a convolution that would go forward; undefined where there is none. */
const convolution = (
  draft: Draft,
  which: Which,
  window: Window,
  { x, weight, y }: Arrays,
  ahead: Arrays,
  { bias, attributes }: { readonly bias: Handle; readonly attributes: Handle },
): Handle | undefined => {
  const { make, engine } = draft.library
  const own = (of: string, all: readonly Handle[], create: () => Handle | undefined): Handle | undefined =>
    draft.once(`${of} ${window.stride} ${window.padding} ${all}`, () => {
      const made = create()
      return made === undefined ? undefined : draft.ownership.own('dnnl_primitive_desc_destroy', made)
    })
  const edges = windowOf(window)
  const first = [ahead.x, ahead.weight, bias, ahead.y] as const
  const forward = own('conv2d', [...first, attributes], () =>
    make(
      'dnnl_convolution_forward_primitive_desc_create',
      engine,
      forwardTraining,
      direct,
      ...first,
      ...edges,
      attributes,
    ),
  )
  if (which === 'conv2d' || forward === undefined) return forward
  const back = [...edges, forward, draft.attributes] as const
  return own(which, [x, weight, y, forward], () =>
    which === 'convInputGrad'
      ? make('dnnl_convolution_backward_data_primitive_desc_create', engine, direct, x, weight, y, ...back)
      : make('dnnl_convolution_backward_weights_primitive_desc_create', engine, direct, x, weight, null, y, ...back),
  )
}

/** The arrays channels-last, or in what layout an implementation likes best where only that has one. Undefined where the library has none that is fast. */
const chosen = (
  draft: Draft,
  which: Which,
  window: Window,
  shapes: Shapes,
  { operands, result }: Elements,
  { bias, others }: Folded,
): Handle | undefined => {
  const nhwc = (shape: Shape, element: Element): Handle =>
    draft.descriptorOf(dense(0, shape, channelsLast, element)) ?? null
  const after = {
    bias: bias === undefined ? null : (draft.descriptorOf(bias) ?? null),
    attributes: draft.attributesWith(others.map((v) => draft.descriptorOf(itemsOf(v, [0, shapes.x[0] ?? 1])) ?? null)),
  }
  const made = (picture: typeof nhwc): Handle | undefined => {
    const arraysOf = (of: keyof Shapes | undefined): Arrays => {
      const elementOf = (what: keyof Shapes): Element => (what === of ? result : operands)
      return {
        x: picture(shapes.x, elementOf('x')),
        weight: draft.anyDescriptor(shapes.weight, elementOf('weight')),
        y: picture(shapes.y, elementOf('y')),
      }
    }
    const own = arraysOf(roles[which].result.of)
    return convolution(draft, which, window, own, which === 'conv2d' ? own : arraysOf(undefined), after)
  }
  const fast = (picture: typeof nhwc): Handle | undefined => {
    const descriptor = made(picture)
    return descriptor === undefined || draft.isRefused(descriptor) ? undefined : descriptor
  }
  return fast(nhwc) ?? fast(draft.anyDescriptor)
}

interface Role {
  readonly of: keyof Shapes
  readonly argument: number
  readonly descriptor: number
}
/** Of each direction what is read, and what is written. */
const roles: { readonly [W in Which]: { readonly given: readonly [Role, Role]; readonly result: Role } } = {
  conv2d: {
    given: [
      { of: 'x', argument: argument.source, descriptor: query.source },
      { of: 'weight', argument: argument.weights, descriptor: query.weights },
    ],
    result: { of: 'y', argument: argument.destination, descriptor: query.destination },
  },
  convInputGrad: {
    given: [
      { of: 'y', argument: argument.diffDestination, descriptor: query.diffDestination },
      { of: 'weight', argument: argument.weights, descriptor: query.weights },
    ],
    result: { of: 'x', argument: argument.diffSource, descriptor: query.diffSource },
  },
  convWeightGrad: {
    given: [
      { of: 'x', argument: argument.source, descriptor: query.source },
      { of: 'y', argument: argument.diffDestination, descriptor: query.diffDestination },
    ],
    result: { of: 'weight', argument: argument.diffWeights, descriptor: query.diffWeights },
  },
}
const isPicture = ({ of }: Role): boolean => of !== 'weight'

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

const sum = (a: Expression, b: Expression): Expression => apply('add', a, b)
const plus = (result: Expression, shape: Shape, addends: readonly Operand[]): Expression =>
  addends.map(({ value }) => spreadTo(value, shape)).reduce(sum, result)

interface Wanted {
  readonly which: Which
  readonly window: Window
  readonly shapes: Shapes
  readonly operands: readonly [Operand, Operand]
  readonly type: TensorType
}
/** Descriptors for so many items. */
type ForItems = (count: number) => Handle | undefined
const choosing = (draft: Draft, { which, window, shapes }: Wanted, elements: Elements, folded: Folded): ForItems => {
  const known = new Map<number, Handle | undefined>()
  return (count) => {
    const [x = [], y = []] = [shapes.x, shapes.y].map((s) => [count, ...s.slice(1)])
    if (!known.has(count)) known.set(count, chosen(draft, which, window, { ...shapes, x, y }, elements, folded))
    return known.get(count)
  }
}
/** As what the arrays can lie: in half precision where the operands are in it, sums and gradients of weights in float32. */
const elementsOf = (draft: Draft, { which, operands, type }: Wanted): readonly Elements[] => {
  const wide: Elements = { operands: 'word', result: 'word' }
  const [a, b] = operands.map(({ value }) => draft.elementOfValue(value))
  if (a === undefined || a === 'word' || a !== b) return [wide]
  return [{ operands: a, result: isPicture(roles[which].result) ? draft.elementOfType(type.dtype) : 'word' }, wide]
}
/** An operand as the primitive is given it: weights from where they lie in full, whatever they are multiplied in. */
const heldFor = (draft: Draft, role: Role, { value, type }: Operand, element: Element): View => {
  if (isPicture(role)) return pictures(draft, { value, type }, element)
  const full = element === 'word' ? undefined : unrounded(value, element)
  return solid(draft, full ?? draft.stored(value, type.shape, element))
}

/**
 * A convolution of any direction, in pieces of some items each: operands in their layouts, the result as an array of ours. The
 * pieces of a weight's gradient are summed.
 */
const convolved = (draft: Draft, wanted: Wanted, addends: readonly Operand[] = []): Expression => {
  const { which, shapes, operands, type } = wanted
  const { shape } = type
  const { given, result } = roles[which]
  const count = shapes.x[0] ?? 1
  const flops = 2 * size(shapes.y) * size(shapes.weight.slice(1))
  const cuts = cut(count, flops < draft.costs.worthCutting.flops ? 1 : draft.pieces)
  const found = elementsOf(draft, wanted)
    .map((elements) => ({ elements, bare: choosing(draft, wanted, elements, nothing) }))
    .find(({ bare }) => cuts.every(([from, to]) => bare(to - from) !== undefined))
  if (found === undefined)
    return plus(
      summedConvolutions[which](draft, geometry(shapes.x, shapes.weight, shapes.y, wanted.window), operands),
      shape,
      addends,
    )
  const { elements, bare } = found
  const held = given.map((role, i) => ({
    ...role,
    view: heldFor(draft, role, operands[i] ?? operands[0], elements.operands),
  }))
  /** Whether pictures lie as the primitive wants them, and so can be given from any item on. */
  const isPlain = (items: number, descriptorFor: ForItems): boolean =>
    [...given, result].every((role) => {
      if (!isPicture(role)) return true
      const element = role === result ? elements.result : elements.operands
      const lain = dense(0, [items, ...shapes[role.of].slice(1)], channelsLast, element)
      const own = draft.descriptorOf(lain) ?? null
      const asked = draft.asked(descriptorFor(items) ?? null, role.descriptor)
      return draft.library.ask('dnnl_memory_desc_equal', own, asked) === 1
    })
  const allPlain = cuts.every(([from, to]) => isPlain(to - from, bare))
  const ranges = allPlain ? cuts : cut(count, 1)

  const offered = folding(draft, addends, shape)
  const adding = choosing(draft, wanted, elements, offered.folded)
  const implementation = (descriptorFor: ForItems, items: number): string | undefined => {
    const descriptor = descriptorFor(items)
    return descriptor === undefined ? undefined : draft.library.implementation(descriptor)
  }
  const adds =
    allPlain &&
    ranges.every(([from, to]) => {
      const items = to - from
      return implementation(adding, items) === implementation(bare, items) && isPlain(items, adding)
    })
  const { folded, left } = adds
    ? offered
    : { folded: nothing, left: addends.map(({ value }) => spreadTo(value, shape)) }
  const descriptorFor = adds ? adding : bare

  const order = isPicture(result) ? channelsLast : [0, 1, 2, 3]
  const whole = draft.fresh(shape, order, elements.result)
  const reorders: (() => void)[] = []
  const made = ranges.map((range): { readonly piece: GivenPiece; readonly view: View } => {
    const descriptor = descriptorFor(range[1] - range[0]) ?? null
    const reads = held.map((role) => {
      const { argument: to, descriptor: d, view } = role
      const own = isPicture(role) && ranges.length > 1 ? canonical(itemsOf(view, range), channelsLast) : view
      return [to, draft.formatted(own, draft.asked(descriptor, d))] as const
    })
    const bias = folded.bias === undefined ? [] : [[argument.bias, draft.given(folded.bias)] as const]
    const others = folded.others.map((v, at) => [argument.addend(at), draft.given(itemsOf(v, range))] as const)
    const isShared = isPicture(result) || range[0] === 0
    const into = isPicture(result) && ranges.length > 1 ? itemsOf(whole, range) : whole
    const view = isShared ? into : draft.fresh(shape, order)
    const asked = draft.asked(descriptor, result.descriptor)
    const own = draft.given(isPicture(result) ? canonical(view, channelsLast) : view)
    const isOwn = draft.library.ask('dnnl_memory_desc_equal', own.descriptor, asked) === 1
    const written = isOwn ? own : draft.inFormat(asked)
    if (!isOwn)
      reorders.push(() => {
        if (!draft.reorder(written, own)) throw new Error('the library cannot reorder a result')
      })
    return { piece: { descriptor, reads: [...reads, ...bias, ...others], writes: [[result.argument, written]] }, view }
  })
  const pieces = made.map(({ piece }) => piece)
  draft.primitive('product', pieces, { flops, element: elements.operands })
  for (const reorder of reorders) reorder()
  const all = isPicture(result) ? [load(whole)] : made.map(({ view }) => load(view))
  return [...all, ...left].reduce(sum)
}
/** A picture's array, channels-last. */
const pictures = (draft: Draft, { value, type }: Operand, element = draft.elementOfValue(value)): View =>
  canonical(draft.laid(value, type.shape, channelsLast, element), channelsLast)
/** An array of which no element is seen twice. */
const solid = (draft: Draft, view: View): View => (isDistinct(view) ? view : draft.store(load(view), view.shape))

const shapeOf = ({ type }: Operand): Shape => type.shape
const isStridedPoint = ({ stride, padding }: Window, [, , ...kernel]: Shape): boolean =>
  kernel.every((k) => k === 1) && stride.some((s) => s > 1) && padding.every((edge) => edge === 0)
/**
 * The places of x that a kernel of one place meets, beside each other. The library's gradient of such a kernel by strides (`jit_1x1`, oneDNN
 * 3.2) is wrong and writes beyond its memory: docs/decisions/0017-onednn.md.
 */
const met = (draft: Draft, { stride: [sh = 1, sw = 1] }: Window, x: Operand, [n = 0, , oh = 0, ow = 0]: Shape) => {
  const view = pictures(draft, x)
  const shape = [n, shapeOf(x)[1] ?? 0, oh, ow]
  const strides = view.strides.map((s, axis) => s * ([1, 1, sh, sw][axis] ?? 1))
  return {
    window: { stride: [1, 1], padding: [0, 0, 0, 0] },
    x: { value: load({ ...view, shape, strides }), type: { ...x.type, shape } },
  }
}
/** Of what has no elements, or is a sum over none: 0, and what is added. */
const empty = (draft: Draft, shape: Shape, addends: readonly Operand[]): Expression =>
  plus(load(draft.store(float(0), shape)), shape, addends)
const isEmpty = (...all: readonly Shape[]): boolean => all.some((s) => size(s) === 0)

export const convolutions: Lowerings<OpOf<'convolution'>> = {
  conv2d: (window, [x, weight], type, draft, _, { isMinimal, addends }) => {
    const { shape } = type
    const shapes = { x: shapeOf(x), weight: shapeOf(weight), y: shape }
    if (isEmpty(shapes.x, shapes.weight, shape)) return empty(draft, shape, addends)
    if (!isMinimal) return convolved(draft, { which: 'conv2d', window, shapes, operands: [x, weight], type }, addends)
    const g = geometry(shapes.x, shapes.weight, shape, window)
    return minimalConvolution(draft, g, pictures(draft, x), forward(filtersOf(draft, weight)), addends, type.dtype)
  },
  convInputGrad: (window, [dy, weight], type, draft, _, { isMinimal, addends }) => {
    const { shape } = type
    const shapes = { x: shape, weight: shapeOf(weight), y: shapeOf(dy) }
    if (isEmpty(shapes.y, shapes.weight, shape)) return empty(draft, shape, addends)
    const g = reversed(geometry(shape, shapes.weight, shapes.y, window))
    if (!isMinimal || g === undefined)
      return convolved(draft, { which: 'convInputGrad', window, shapes, operands: [dy, weight], type }, addends)
    return minimalConvolution(draft, g, pictures(draft, dy), backward(filtersOf(draft, weight)), addends, type.dtype)
  },
  convWeightGrad: (given, [whole, dy], type, draft, _, { isMinimal }) => {
    const { shape } = type
    if (isEmpty(shapeOf(whole), shapeOf(dy), shape)) return empty(draft, shape, [])
    const { window, x } = isStridedPoint(given, shape)
      ? met(draft, given, whole, shapeOf(dy))
      : { window: given, x: whole }
    const shapes = { x: shapeOf(x), weight: shape, y: shapeOf(dy) }
    return isMinimal
      ? minimalWeightGradient(
          draft,
          geometry(shapes.x, shape, shapes.y, window),
          pictures(draft, x),
          pictures(draft, dy),
        )
      : convolved(draft, { which: 'convWeightGrad', window, shapes, operands: [x, dy], type })
  },
}
