import { type Shape, sameShape, size } from '../../graph/types.ts'
import { any, argument, binaryAdd, givenScratchpad, type Handle, query, types, undefinedType } from './api.ts'
import type { Costs } from './costs.ts'
import { type Expression, elementOf, fitting, leading, load, orderFor, overViews, unrounded } from './expression.ts'
import { elementFor, type HalfPrecisions } from './half.ts'
import type { Library } from './load.ts'
import { loopOf, type Nest, type Reduction, touching } from './loop.ts'
import type { Ownership } from './ownership.ts'
import type { Arguments, Array as Given, HostInstruction, Instruction, PrimitiveInstruction } from './plan.ts'
import { cut } from './ranges.ts'
import {
  dense,
  type Element,
  elementBytes,
  isDistinct,
  keyOf,
  liesAs,
  orderOf,
  part,
  reshaped,
  spread,
  touched,
  type View,
} from './view.ts'

export const int64 = (xs: readonly number[]): BigInt64Array => BigInt64Array.from(xs, BigInt)

/** Elements from which on a copy in another order is the library's: a loop of ours reads them one by one. */
const longCopy = 4096
/** Elements along the innermost axis up to which a loop is all beginnings and ends. */
const shortAxis = 16

const typeOf: { readonly [E in Element]: number } = { word: types.f32, float16: types.f16, bfloat16: types.bf16 }

/** What a primitive's piece reads and writes. */
export interface GivenPiece {
  readonly descriptor: Handle
  readonly reads: Arguments
  readonly writes: Arguments
}

/** Of a product: its operations, what its algorithm's name begins with, as what its operands lie. */
export interface PrimitiveDetails {
  readonly flops?: number
  readonly way?: string
  readonly element?: Element
}

/** Collects buffers and instructions; every method appends what it needs. Long primitives are cut into so many pieces. */
export const drafting = (
  library: Library,
  ownership: Ownership,
  pieces: number,
  costs: Costs,
  precisions: HalfPrecisions,
) => {
  const [buffers, instructions]: [number[], Instruction[]] = [[], []]
  let node = -1
  const buffer = (bytes: number): number => buffers.push(Math.max(4, bytes)) - 1
  const fresh = (shape: Shape, order?: Shape, element: Element = 'word'): View =>
    dense(buffer(size(shape) * elementBytes[element]), shape, order, element)
  const elementOfType = elementFor(precisions)
  /** As what an expression is stored. */
  const elementOfValue = (value: Expression): Element => {
    const own = elementOf(value)
    return own === 'word' ? own : elementOfType(own)
  }
  const push = (instruction: Instruction): void => void instructions.push(instruction)

  const expanded = new Map<string, View>()
  /** A small array that repeats along an axis, with its repetitions in memory. */
  const unrolled = (v: View, axis: number, order: Shape): View => {
    const shape = v.shape.map((d, i) => (i === axis || (v.strides[i] ?? 0) !== 0 ? d : 1))
    const key = `${keyOf({ ...v, shape })} ${axis} ${order}`
    const known = expanded.get(key)
    const made = known ?? fresh(shape, order, v.element)
    expanded.set(key, made)
    if (known === undefined)
      nest('loop', { shape, values: [{ value: load({ ...v, shape }), into: made }], reduced: [], reduction: undefined })
    return spread(made, v.shape)
  }
  /** The same nest, where its innermost axis is longer than a few elements because small arrays no longer repeat along it. */
  const widened = (of: Nest): Nest => {
    const lead = leading(of.values.map(({ value }) => value))
    if (lead === undefined || touched(lead) < longCopy) return of
    const order = orderOf(lead)
    const axis = order.findLast((a) => (of.shape[a] ?? 1) !== 1)
    if (axis === undefined || (of.shape[axis] ?? 1) > shortAxis) return of
    const isSmall = (v: View): boolean =>
      v.strides[axis] === 0 && touched(v) > 1 && touched(v) * (of.shape[axis] ?? 1) * 8 <= touched(lead)
    const over = (v: View): View => (isSmall(v) ? unrolled(v, axis, order) : v)
    return { ...of, values: of.values.map(({ value, into }) => ({ value: overViews(value, over) ?? value, into })) }
  }

  const nest = (name: string, wanted: Nest): void => {
    if (size(wanted.shape) === 0) return
    const { values, ...others } = widened(wanted)
    const of = { ...others, values: values.map(({ value, into }) => ({ value: fitting(value, into.element), into })) }
    push({
      kind: 'loop',
      node,
      algorithm: of.reduction === undefined ? name : `${name}, ${of.reduction}`,
      ...touching(loopOf(of)),
    })
  }

  const asked = new Map<string, Handle | undefined>()
  /** What the library makes of the same, once: it takes its time for each. */
  const once = (key: string, make: () => Handle | undefined): Handle | undefined => {
    if (!asked.has(key)) asked.set(key, make())
    return asked.get(key)
  }
  const descriptorOf = ({ shape, strides, element }: View): Handle | undefined =>
    once(`array ${element} ${shape} by ${strides}`, () => describedBy(shape, strides, element))
  const describedBy = (shape: Shape, strides: Shape, element: Element): Handle | undefined => {
    if (shape.length > 12) return undefined
    const [dims, steps] = shape.length === 0 ? [[1], [1]] : [shape, strides]
    const made = library.make(
      'dnnl_memory_desc_create_with_strides',
      dims.length,
      int64(dims),
      typeOf[element],
      int64(dims.map((d, i) => (d === 1 ? Math.max(1, steps[i] ?? 1) : (steps[i] ?? 1)))),
    )
    return made === undefined ? undefined : ownership.own('dnnl_memory_desc_destroy', made)
  }
  /** In whatever layout an implementation likes best. */
  const anyDescriptor = (shape: Shape, element: Element): Handle =>
    once(`any ${element} ${shape}`, () =>
      ownership.own(
        'dnnl_memory_desc_destroy',
        library.make('dnnl_memory_desc_create_with_tag', shape.length, int64(shape), typeOf[element], any) ?? null,
      ),
    ) ?? null
  const arrayOf = (view: View): Given | undefined => {
    const descriptor = descriptorOf(view)
    const { buffer: own, offset, element } = view
    return descriptor === undefined ? undefined : { buffer: own, offset: offset * elementBytes[element], descriptor }
  }

  /** Attributes of a primitive that adds arrays to its result, or the result to what is there, and is given the memory that it computes in. */
  const attributesWith = (addends: readonly Handle[], isSum = false): Handle =>
    once(`attributes ${addends} ${isSum}`, () => attributesOf(addends, isSum)) ?? null
  const attributesOf = (addends: readonly Handle[], isSum: boolean): Handle => {
    const made = ownership.own('dnnl_primitive_attr_destroy', library.make('dnnl_primitive_attr_create') ?? null)
    library.call('dnnl_primitive_attr_set_scratchpad_mode', made, givenScratchpad)
    if (addends.length === 0 && !isSum) return made
    const after = library.make('dnnl_post_ops_create') ?? null
    for (const descriptor of addends) library.call('dnnl_post_ops_append_binary', after, binaryAdd, descriptor)
    if (isSum) library.call('dnnl_post_ops_append_sum', after, 1, 0, undefinedType)
    library.call('dnnl_primitive_attr_set_post_ops', made, after)
    library.call('dnnl_post_ops_destroy', after)
    return made
  }
  const attributes = attributesWith([])
  /** Whether the library's implementation is right and not meant to be fast. */
  const isRefused = (descriptor: Handle): boolean => costs.refused.test(library.implementation(descriptor))
  /** A descriptor that a primitive was made by. */
  const queried = (descriptor: Handle, what: number): Handle => {
    const found = library.ask('dnnl_primitive_desc_query_md', descriptor, what, 0)
    return typeof found === 'bigint' ? found : null
  }
  const scratchpad = (descriptor: Handle): Arguments => {
    const wanted = queried(descriptor, query.scratchpad)
    const room = wanted === null ? undefined : inFormat(wanted)
    return room === undefined || buffers[room.buffer] === 4 ? [] : [[argument.scratchpad, room]]
  }
  const primitive = (
    does: PrimitiveInstruction['does'],
    all: readonly GivenPiece[],
    { flops = 0, way = '', element = 'word' }: PrimitiveDetails = {},
  ): void => {
    const buffersOf = (given: Arguments): readonly number[] => given.map(([, { buffer: b }]) => b)
    const rooms = all.map(({ descriptor }) => scratchpad(descriptor))
    push({
      kind: 'primitive',
      node,
      does,
      flops,
      element,
      algorithm: `${way}${library.implementation(all[0]?.descriptor ?? null)}`,
      pieces: all.map(({ descriptor, reads, writes }, i) => ({
        descriptor,
        arguments: [...reads, ...writes, ...(rooms[i] ?? [])],
      })),
      reads: all.flatMap(({ reads }) => buffersOf(reads)),
      writes: all.flatMap(({ writes }, i) => buffersOf([...writes, ...(rooms[i] ?? [])])),
    })
  }

  /**
   * What the library copies one array into the place and order of another by; undefined where it cannot, or not fast where it rounds or
   * widens.
   */
  const reordering = (from: Given, to: Given, isHalf = false): GivenPiece | undefined => {
    const descriptor = once(`reorder ${from.descriptor} ${to.descriptor}`, () => {
      const made = library.make(
        'dnnl_reorder_primitive_desc_create',
        from.descriptor,
        library.engine,
        to.descriptor,
        library.engine,
        attributes,
      )
      return made === undefined ? undefined : ownership.own('dnnl_primitive_desc_destroy', made)
    })
    return descriptor === undefined || (isHalf && isRefused(descriptor))
      ? undefined
      : { descriptor, reads: [[argument.source, from]], writes: [[argument.destination, to]] }
  }
  const reorder = (from: Given, to: Given): boolean => {
    const piece = reordering(from, to)
    if (piece !== undefined) primitive('reorder', [piece])
    return piece !== undefined
  }
  /** The same of arrays that lie by strides, cut along the axis that is outermost in what is written. */
  const copied = (from: View, into: View): boolean => {
    const isHalf = from.element !== 'word' || into.element !== 'word'
    const axis = orderOf(into).find((a) => (into.shape[a] ?? 1) > 1) ?? 0
    const all = cut(into.shape[axis] ?? 1, pieces).map(([start, end]) => {
      const within = (v: View): View =>
        part(
          v,
          v.shape.map((_, i) => (i === axis ? start : 0)),
          v.shape.map((d, i) => (i === axis ? end - start : d)),
        )
      const [own, to] = [arrayOf(within(from)), arrayOf(within(into))]
      return own === undefined || to === undefined ? undefined : reordering(own, to, isHalf)
    })
    const found = all.flatMap((p) => p ?? [])
    if (found.length < all.length) return false
    primitive('reorder', found)
    return true
  }

  /** Computes an expression into an array that is there. */
  const write = (into: View, value: Expression): void => {
    const source = unrounded(value, into.element)
    if (source !== undefined && size(into.shape) >= longCopy && isDistinct(source)) {
      const sameOrder = orderOf(source).join() === orderOf(into).join()
      if (!sameOrder && copied(source, into)) return
    }
    nest('loop', { shape: into.shape, values: [{ value, into }], reduced: [], reduction: undefined })
  }
  const store = (
    value: Expression,
    shape: Shape,
    order: Shape = orderFor(value, shape),
    element: Element = elementOfValue(value),
  ): View => {
    const into = fresh(shape, order, element)
    write(into, value)
    return into
  }
  const made = new Map<Expression, View[]>()
  /** As an array that the condition holds of, else stored so; what is asked for again is there. */
  const kept = (value: Expression, shape: Shape, isFit: (v: View) => boolean, make: () => View): View => {
    if (value.kind === 'load' && isFit(value.view)) return value.view
    const known = made.get(value) ?? []
    const found = known.find((v) => sameShape(v.shape, shape) && isFit(v)) ?? make()
    made.set(value, [...known.filter((v) => v !== found), found])
    return found
  }
  /** As an array in memory, wherever it lies. */
  const stored = (value: Expression, shape: Shape, element: Element = elementOfValue(value)): View =>
    kept(
      value,
      shape,
      (v) => v.element === element,
      () => store(value, shape, undefined, element),
    )
  /** As an array without gaps whose axes lie in this order. */
  const laid = (
    value: Expression,
    shape: Shape,
    order: Shape = shape.map((_, i) => i),
    element: Element = elementOfValue(value),
  ): View =>
    kept(
      value,
      shape,
      (v) => v.element === element && liesAs(v, order),
      () => store(value, shape, order, element),
    )

  const given = (view: View): Given => {
    const own = arrayOf(view)
    if (own === undefined) throw new Error(`an array of ${view.shape.length} axes for a primitive`)
    return own
  }
  const known = new Map<string, Given[]>()
  /** An array in the layout of a descriptor, converted once. */
  const formatted = (view: View, wanted: Handle): Given => {
    const own = given(view)
    const alike = (g: Given): boolean => library.ask('dnnl_memory_desc_equal', g.descriptor, wanted) === 1
    const others = known.get(keyOf(view)) ?? []
    const found = [own, ...others].find(alike)
    if (found !== undefined) return found
    const made = inFormat(wanted)
    if (!reorder(own, made)) throw new Error('the library cannot reorder a weight')
    known.set(keyOf(view), [...others, made])
    return made
  }
  /** Room for an array in the layout of a descriptor. */
  const inFormat = (descriptor: Handle): Given => ({
    buffer: buffer(Number(library.ask('dnnl_memory_desc_get_size', descriptor))),
    offset: 0,
    descriptor,
  })

  /** Reduces axes; they stay, with length 1. */
  const reduce = (
    reduction: Reduction,
    value: Expression,
    shape: Shape,
    axes: readonly number[],
    name = 'loop',
  ): View => {
    const kept = shape.map((d, i) => (axes.includes(i) ? 1 : d))
    const order = orderFor(value, shape)
    const into = fresh(kept, order)
    const repeated: View = { ...into, shape, strides: into.strides.map((s, i) => (axes.includes(i) ? 0 : s)) }
    if (size(shape) === 0) {
      const empty = { sum: 0, sumInt: 0, max: Number.NEGATIVE_INFINITY, maxInt: -(2 ** 31) }[reduction]
      const of = reduction === 'sum' || reduction === 'max' ? 'float' : 'int'
      write(into, { kind: 'number', value: empty, of })
    } else nest(name, { shape, values: [{ value, into: repeated }], reduced: axes, reduction })
    return into
  }

  /** The same numbers under another shape: seen so, or stored so that they can be. */
  const reshape = (value: Expression, from: Shape, to: Shape): Expression => {
    const seen = overViews(value, (v) => reshaped(v, to))
    if (seen !== undefined) return seen
    const inPlace = value.kind === 'load' ? undefined : reshaped(store(value, from), to)
    return load(inPlace ?? reshaped(laid(value, from), to) ?? fresh(to))
  }

  const host = (of: Pick<HostInstruction, 'inputs' | 'output' | 'compute'>): void =>
    push({
      kind: 'host',
      node,
      algorithm: 'JavaScript',
      ...of,
      reads: of.inputs.map(({ view }) => view.buffer),
      writes: [of.output.view.buffer],
    })

  return {
    library,
    ownership,
    pieces,
    costs,
    precisions,
    elementOfType,
    elementOfValue,
    attributes,
    attributesWith,
    isRefused,
    asked: queried,
    once,
    given,
    buffers,
    instructions,
    /** Names the node that what follows is for. */
    at: (index: number): void => {
      node = index
    },
    fresh,
    nest,
    descriptorOf,
    anyDescriptor,
    arrayOf,
    inFormat,
    formatted,
    primitive,
    reorder,
    write,
    store,
    stored,
    laid,
    reduce,
    reshape,
    host,
    remembered: new Map<string, View>(),
  }
}
export type Draft = ReturnType<typeof drafting>
