import { broadcastShapes, type Shape, sameShape, size } from '../../graph/types.ts'
import { RR } from '../../prelude.ts'
import { inverse, isIdentity, movesNothing, type Order, permuted, range, reshaped } from '../layout.ts'
import type { Attributes, Kernel } from './kernel.ts'
import { reached } from './program.ts'
import { type Call, call, type Roots, reshape, transpose, type Value } from './value.ts'

/**
 * TensorFlow.js convolves channels last, graphs say channels first, so lowerings write a transpose before and after
 * each convolution. Here transposes move outward, from what is read to what is made, through every kernel that works
 * alike in any order of axes; where two meet they cancel, and what is left stands before the few kernels that mind the
 * order and before the outputs.
 */

/** A value whose axes lie elsewhere: its axis i is the axis `axes[i]` of `base`. */
interface View {
  readonly base: Value
  readonly axes: readonly number[]
}
const plain = (base: Value): View => ({ base, axes: range(base.type.shape.length) })
const shapeOf = ({ base, axes }: View): Shape => permuted(base.type.shape, axes)

const moved = (base: Value, axes: readonly number[]): Value =>
  movesNothing(base.type.shape, axes) ? reshape(base, permuted(base.type.shape, axes)) : transpose(base, axes)
const written = ({ base, axes }: View): Value => moved(base, axes)

/** The base of a view once its axes lie as `axes` says; leading axes are filled up, and a lone number lies any way. */
const laid = (view: View, axes: readonly number[]): Value => {
  const own = shapeOf(view)
  const missing = axes.length - own.length
  if (size(own) === 1)
    return reshape(
      view.base,
      range(axes.length).map(() => 1),
    )
  const wide: View = {
    base: reshape(view.base, [...range(missing).map(() => 1), ...view.base.type.shape]),
    axes: [...range(missing), ...view.axes.map((a) => a + missing)],
  }
  return moved(
    wide.base,
    inverse(axes).map((i) => wide.axes[i] ?? 0),
  )
}

/** The order of axes in which most elements lie already; a transposed one where two are alike. */
const commonAxes = (views: readonly View[], shape: Shape): readonly number[] => {
  const weights = new Map<string, { readonly axes: readonly number[]; readonly weight: number }>()
  for (const view of views) {
    if (view.axes.length !== shape.length || !sameShape(shapeOf(view), shape)) continue
    const axes = movesNothing(view.base.type.shape, view.axes) ? range(shape.length) : view.axes
    const bias = isIdentity(axes) ? 0 : 0.5
    const weight = (weights.get(axes.join())?.weight ?? bias) + 1
    weights.set(axes.join(), { axes, weight })
  }
  const [best] = [...weights.values()].sort((a, b) => b.weight - a.weight)
  return best?.axes ?? range(shape.length)
}

const throughElementwise = (of: Call, views: readonly View[]): View => {
  const { shape } = of.type
  const axes = commonAxes(views, shape)
  if (isIdentity(axes)) return plain({ ...of, inputs: views.map(written) })
  const inputs = views.map((v) => laid(v, axes))
  const joint = inputs.reduce<Shape | undefined>(
    (sofar, x) => (sofar === undefined ? undefined : broadcastShapes(sofar, x.type.shape)),
    [],
  )
  if (joint === undefined) throw new Error(`${of.kernel} was laid out in shapes that do not broadcast`)
  return { base: call(of.kernel, inputs, { ...of.type, shape: joint }, of.attributes), axes }
}
const throughConcat = (of: Call, views: readonly View[]): View => {
  const axis = typeof of.attributes.axis === 'number' ? of.attributes.axis : 0
  const [axes] = [...views]
    .sort((a, b) => size(shapeOf(b)) - size(shapeOf(a)))
    .map((v) => v.axes)
    .filter((a) => !isIdentity(a))
  if (axes === undefined) return plain({ ...of, inputs: views.map(written) })
  const base = call(
    'Concat',
    views.map((v) => laid(v, axes)),
    { ...of.type, shape: permuted(of.type.shape, inverse(axes)) },
    { axis: axes[axis] ?? 0 },
  )
  return { base, axes }
}

type Listed = Attributes[string]
const listOf = (a: Listed | undefined): readonly (number | readonly number[])[] => (typeof a === 'object' ? a : [])
const numbers = (xs: readonly (number | readonly number[])[]): readonly number[] =>
  xs.flatMap((x) => (typeof x === 'number' ? [x] : []))
const rows = (xs: readonly (number | readonly number[])[]): readonly (readonly number[])[] =>
  xs.flatMap((x) => (typeof x === 'number' ? [] : [x]))
const renamed = (named: Listed | undefined, axes: readonly number[]): readonly number[] =>
  numbers(listOf(named))
    .map((a) => axes[a] ?? 0)
    .sort((a, b) => a - b)
const reordered = (perAxis: Listed | undefined, axes: readonly number[]): Listed => {
  const all = listOf(perAxis)
  const inOrder = permuted(all, inverse(axes))
  return rows(inOrder).length > 0 ? rows(inOrder) : numbers(inOrder)
}

/** A reshape moves through a transpose where it splits axes, or joins such as lie beside each other in the base too. */
const throughReshape = (of: Call, view: View): View => {
  const { shape } = of.type
  const lies = reshaped(view.base.type.shape, inverse(view.axes), shape)
  if (lies === undefined) return plain(reshape(written(view), shape))
  return { base: reshape(view.base, permuted(shape, lies)), axes: inverse(lies) }
}

/** A product takes a transpose of its matrices as a flag. */
const throughProduct = (of: Call, views: readonly View[]): View => {
  const { transposeA = false, transposeB = false } = of.attributes
  const taken = views.map((v) => (isSwap(v) ? { value: v.base, swapped: true } : { value: written(v), swapped: false }))
  const [a, b] = taken
  return plain(
    call(
      of.kernel,
      taken.map(({ value }) => value),
      of.type,
      { transposeA: (transposeA === true) !== a?.swapped, transposeB: (transposeB === true) !== b?.swapped },
    ),
  )
}
const isSwap = ({ base, axes }: View): boolean => axes.join() === '0,2,1' && !movesNothing(base.type.shape, axes)

type Through = (of: Call, views: readonly [View, ...(readonly View[])]) => View
/** Kernels that mind the order of axes. */
const before: Through = (of, views) => plain({ ...of, inputs: views.map(written) })
/** Attributes that name axes, or say something of each axis, in the order in which the base's axes lie. */
const renaming =
  (rewrite: (attributes: Attributes, axes: readonly number[]) => Attributes): Through =>
  (of, views) => {
    const [{ base, axes }] = views
    if (isIdentity(axes)) return before(of, views)
    const type = { ...of.type, shape: permuted(of.type.shape, inverse(axes)) }
    return { base: call(of.kernel, [base], type, rewrite(of.attributes, axes)), axes }
  }

/** How transposes move through each kernel. */
const through: { readonly [K in Kernel]: Through } = {
  Abs: throughElementwise,
  Add: throughElementwise,
  ArgMax: before,
  ArgMin: before,
  BatchMatMul: throughProduct,
  Cast: throughElementwise,
  Concat: throughConcat,
  Conv2D: before,
  Conv2DBackpropFilter: before,
  Conv2DBackpropInput: before,
  Cos: throughElementwise,
  Equal: throughElementwise,
  Erf: throughElementwise,
  Exp: throughElementwise,
  Floor: throughElementwise,
  FloorDiv: throughElementwise,
  GatherV2: before,
  Less: throughElementwise,
  Log: throughElementwise,
  Max: renaming(({ reductionIndices, ...rest }, axes) => ({
    ...rest,
    reductionIndices: renamed(reductionIndices, axes),
  })),
  MaxPool: before,
  Maximum: throughElementwise,
  Minimum: throughElementwise,
  Multiply: throughElementwise,
  Neg: throughElementwise,
  NotEqual: throughElementwise,
  OneHot: before,
  PadV2: renaming(({ paddings, ...rest }, axes) => ({ ...rest, paddings: reordered(paddings, axes) })),
  RealDiv: throughElementwise,
  Reshape: (of, [view]) => throughReshape(of, view),
  ResizeNearestNeighbor: before,
  Rsqrt: throughElementwise,
  Select: throughElementwise,
  Sigmoid: throughElementwise,
  Sin: throughElementwise,
  Slice: renaming(({ begin, size: extent }, axes) => ({
    begin: reordered(begin, axes),
    size: reordered(extent, axes),
  })),
  Softmax: before,
  Sqrt: throughElementwise,
  Square: throughElementwise,
  StridedSlice: before,
  Sub: throughElementwise,
  Sum: renaming(({ axis, ...rest }, axes) => ({ ...rest, axis: renamed(axis, axes) })),
  Tanh: throughElementwise,
  Tile: renaming(({ reps }, axes) => ({ reps: reordered(reps, axes) })),
  Transpose: (of, [{ base, axes }]) => ({ base, axes: numbers(listOf(of.attributes.perm)).map((p) => axes[p] ?? 0) }),
}
const throughCall = (of: Call, views: readonly View[]): View => {
  const [first, ...rest] = views
  return first === undefined ? plain(of) : through[of.kernel](of, [first, ...rest])
}

/** The order of axes in which something is kept: its axis i lies at `axes[i]`. Left out: in its own order. */
export type Kept = Readonly<Record<string, readonly number[]>>

/** How each value that the roots reach is left by what makes it. */
const viewed = (roots: Roots, leaves: Kept): ((v: Value) => View) => {
  const views = new Map<Value, View>()
  const viewOf = (v: Value): View => {
    const found = views.get(v)
    if (found === undefined) throw new Error('a value that was not reached')
    return found
  }
  for (const v of reached(Object.values(roots))) {
    const axes = v.kind === 'leaf' ? leaves[v.name] : undefined
    views.set(
      v,
      v.kind === 'call'
        ? throughCall(v, v.inputs.map(viewOf))
        : axes === undefined
          ? plain(v)
          : { base: { ...v, type: { ...v.type, shape: permuted(v.type.shape, inverse(axes)) } }, axes },
    )
  }
  return viewOf
}

/**
 * The same results with as few transposes as meet nothing to cancel them. Leaves and outputs may be kept in another
 * order of axes.
 */
export const moveTransposes = (roots: Roots, kept: { readonly leaves?: Kept; readonly outputs?: Kept } = {}): Roots => {
  const viewOf = viewed(roots, kept.leaves ?? {})
  return RR.mapWithIndex((name, v: Value) => {
    const axes = kept.outputs?.[name]
    return axes === undefined ? written(viewOf(v)) : laid(viewOf(v), axes)
  })(roots)
}
/** The order in which the numbers of each output lie before they are brought to that of its axes. */
export const ordersLeft = (roots: Roots): Readonly<Record<string, Order>> => {
  const viewOf = viewed(roots, {})
  return RR.map((v: Value) => inverse(viewOf(v).axes))(roots)
}
