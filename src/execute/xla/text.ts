import { bfloatBits, halfBits } from '../../graph/half.ts'
import { type DType, type Shape, sameShape, size, strides, type TensorType } from '../../graph/types.ts'
import { isIdentity, permuted } from '../layout.ts'

/** StableHLO as text: one line a value, each content once. */

const elements: { readonly [D in DType]: string } = {
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
  int32: 'i32',
  bool: 'i1',
}
/** `tensor<2x3xf32>` */
export const typeText = ({ dtype, shape }: TensorType): string => `tensor<${[...shape, elements[dtype]].join('x')}>`
const typeTexts = (xs: readonly Line[]): string => xs.map(({ type }) => typeText(type)).join(', ')

/** A value that a line defines. */
export interface Line {
  readonly name: string
  readonly type: TensorType
}

/** Collects lines; `at` says which node of the graph those that follow are for. */
export const writing = () => {
  /** Of lines: a long text that is put together of others costs the collector of what is let go of more. */
  const pieces: string[] = []
  const places: string[] = []
  const known = new Map<string, Line>()
  let place = ''
  let located = ''
  let count = 0
  const append = (defined: string, text: string): void => {
    pieces.push(defined, ' = ', text, located)
    places.push(place)
  }
  return {
    /** All lines. */
    text: (): string => pieces.join(''),
    /** Of each line the node that it is for. */
    places,
    at: (of: string): void => {
      place = of
      located = ` loc(${JSON.stringify(of)})\n`
    },
    /** A value by what computes it: the same where the same was written before. */
    line: (text: string, type: TensorType): Line => {
      const found = known.get(text)
      if (found !== undefined) return found
      const made: Line = { name: `%${count++}`, type }
      append(made.name, text)
      known.set(text, made)
      return made
    },
    /** A value that is computed where it stands, whatever was written before: one of several. */
    own: (text: string, results: number, type: TensorType): Line => {
      const name = `%${count++}`
      append(`${name}${results === 1 ? '' : `:${results}`}`, text)
      return { name: results === 1 ? name : `${name}#0`, type }
    },
  }
}
export type Writer = ReturnType<typeof writing>

const shaped = (x: Line, shape: Shape): TensorType => ({ dtype: x.type.dtype, shape })
const list = (xs: readonly number[]): string => `[${xs.join(', ')}]`
/** An op of values, with what stands behind its operands. */
const call = (w: Writer, op: string, xs: readonly Line[], type: TensorType, rest = ''): Line =>
  w.line(`stablehlo.${op} ${xs.map((x) => x.name).join(', ')}${rest} : (${typeTexts(xs)}) -> ${typeText(type)}`, type)

const float32Bits = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0] ?? 0
const hex = (bits: number, digits: number): string => `0x${bits.toString(16).padStart(digits, '0').toUpperCase()}`
/** A number as MLIR has it: floats by their bits. */
const numberText: { readonly [D in DType]: (x: number) => string } = {
  float32: (x) => hex(float32Bits(x), 8),
  float16: (x) => hex(halfBits(x), 4),
  bfloat16: (x) => hex(bfloatBits(float32Bits(x)), 4),
  int32: String,
  bool: (x) => (x === 0 ? 'false' : 'true'),
}
/** Up to so many numbers are written one by one. */
const fewNumbers = 64
const bytesText = (data: Float32Array | Int32Array): string => {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return `"0x${Buffer.from(bytes).toString('hex').toUpperCase()}"`
}
/** An array of numbers, row-major; a single number stands for all. */
export const constant = (w: Writer, type: TensorType, data: readonly number[]): Line => {
  const { dtype } = type
  const [only = 0] = data
  if (size(type.shape) === 0) return w.line(`stablehlo.constant dense<> : ${typeText(type)}`, type)
  if (data.length === 1) return w.line(`stablehlo.constant dense<${numberText[dtype](only)}> : ${typeText(type)}`, type)
  const flat: TensorType = { dtype, shape: [data.length] }
  const wide = dtype === 'float32' || dtype === 'int32'
  if (!wide || data.length <= fewNumbers) {
    const text = data.map(numberText[dtype]).join(', ')
    return reshape(w, w.line(`stablehlo.constant dense<[${text}]> : ${typeText(flat)}`, flat), type.shape)
  }
  const numbers = dtype === 'int32' ? Int32Array.from(data) : Float32Array.from(data)
  return w.line(`stablehlo.constant dense<${bytesText(numbers)}> : ${typeText(type)}`, type)
}
export const scalar = (w: Writer, dtype: DType, x: number): Line => constant(w, { dtype, shape: [] }, [x])

export const unary = (w: Writer, op: string, x: Line): Line =>
  w.line(`stablehlo.${op} ${x.name} : ${typeText(x.type)}`, x.type)
/** Of operands of one type. */
export const binary = (w: Writer, op: string, a: Line, b: Line): Line =>
  w.line(`stablehlo.${op} ${a.name}, ${b.name} : ${typeText(a.type)}`, a.type)
/** With one number. */
export const withNumber = (w: Writer, op: string, x: Line, k: number): Line =>
  binary(w, op, x, constant(w, x.type, [k]))
/** The function of another dialect. */
export const erf = (w: Writer, x: Line): Line =>
  w.line(`chlo.erf ${x.name} : ${typeText(x.type)} -> ${typeText(x.type)}`, x.type)
export const compare = (w: Writer, how: 'EQ' | 'NE' | 'LT', a: Line, b: Line): Line =>
  call(w, `compare ${how},`, [a, b], { dtype: 'bool', shape: a.type.shape })
export const select = (w: Writer, condition: Line, a: Line, b: Line): Line =>
  w.line(
    `stablehlo.select ${condition.name}, ${a.name}, ${b.name} : ${typeText(condition.type)}, ${typeText(a.type)}`,
    a.type,
  )
export const convert = (w: Writer, x: Line, dtype: DType): Line => {
  if (x.type.dtype === dtype) return x
  // Anything but 0 is true.
  if (dtype === 'bool') return compare(w, 'NE', x, constant(w, x.type, [0]))
  return call(w, 'convert', [x], { dtype, shape: x.type.shape })
}

export const reshape = (w: Writer, x: Line, shape: Shape): Line =>
  sameShape(x.type.shape, shape) ? x : call(w, 'reshape', [x], shaped(x, shape))
export const transpose = (w: Writer, x: Line, permutation: readonly number[]): Line =>
  isIdentity(permutation)
    ? x
    : call(w, 'transpose', [x], shaped(x, permuted(x.type.shape, permutation)), `, dims = ${list(permutation)}`)
/** Axes of `x` as the named ones of a shape, repeated along all others. */
export const spread = (w: Writer, x: Line, shape: Shape, axes: readonly number[]): Line =>
  sameShape(x.type.shape, shape) && isIdentity(axes)
    ? x
    : call(w, 'broadcast_in_dim', [x], shaped(x, shape), `, dims = ${list(axes)}`)
/** Repeated to a shape that it broadcasts to, as NumPy does. */
export const broadcast = (w: Writer, x: Line, shape: Shape): Line =>
  spread(
    w,
    x,
    shape,
    x.type.shape.map((_, i) => shape.length - x.type.shape.length + i),
  )
export const slice = (w: Writer, x: Line, start: Shape, extent: Shape): Line => {
  if (sameShape(x.type.shape, extent)) return x
  const ranges = start.map((from, i) => `${from}:${from + (extent[i] ?? 0)}`).join(', ')
  return call(w, 'slice', [x], shaped(x, extent), ` [${ranges}]`)
}
/** Zeros before and after each axis, and between its places. */
export const pad = (w: Writer, x: Line, low: Shape, high: Shape, between: Shape = low.map(() => 0)): Line =>
  call(
    w,
    'pad',
    [x, scalar(w, x.type.dtype, 0)],
    shaped(
      x,
      x.type.shape.map((d, i) => d + (low[i] ?? 0) + (high[i] ?? 0) + Math.max(0, d - 1) * (between[i] ?? 0)),
    ),
    `, low = ${list(low)}, high = ${list(high)}, interior = ${list(between)}`,
  )
export const concat = (w: Writer, xs: readonly Line[], axis: number, type: TensorType): Line =>
  call(w, 'concatenate', xs, type, `, dim = ${axis}`)
export const reverse = (w: Writer, x: Line, axes: readonly number[]): Line =>
  w.line(`stablehlo.reverse ${x.name}, dims = ${list(axes)} : ${typeText(x.type)}`, x.type)
export const iota = (w: Writer, type: TensorType, axis: number): Line =>
  w.line(`stablehlo.iota dim = ${axis} : ${typeText(type)}`, type)

const lowest: { readonly [D in DType]: number } = {
  float32: Number.NEGATIVE_INFINITY,
  float16: Number.NEGATIVE_INFINITY,
  bfloat16: Number.NEGATIVE_INFINITY,
  int32: -(2 ** 31),
  bool: 0,
}
/** Reduces axes, which are dropped. */
export const reduce = (w: Writer, op: 'add' | 'maximum' | 'minimum', x: Line, axes: readonly number[]): Line => {
  if (axes.length === 0) return x
  const { dtype } = x.type
  const first = op === 'add' ? 0 : op === 'maximum' ? lowest[dtype] : 2 ** 31 - 1
  const init = scalar(w, dtype, first)
  const type = shaped(
    x,
    x.type.shape.filter((_, i) => !axes.includes(i)),
  )
  return w.line(
    `stablehlo.reduce(${x.name} init: ${init.name}) applies stablehlo.${op} across dimensions = ${list(axes)} : (${typeTexts([x, init])}) -> ${typeText(type)}`,
    type,
  )
}
/** The same, of which the axes stay, as long as they were. */
export const reduceSpread = (w: Writer, op: 'add' | 'maximum', x: Line, axes: readonly number[]): Line =>
  spread(
    w,
    reduce(w, op, x, axes),
    x.type.shape,
    x.type.shape.flatMap((_, i) => (axes.includes(i) ? [] : [i])),
  )

/** Which axes of the two are paired, and which are summed over. */
export interface Dot {
  readonly batch: readonly (readonly [number, number])[]
  readonly inner: readonly [number, number]
}
const precise = 'precision = [HIGHEST, HIGHEST]'
/** A product; what comes out is single precision, whatever goes in. */
export const dot = (w: Writer, a: Line, b: Line, { batch, inner }: Dot): Line => {
  const own = (x: Line, side: 0 | 1): Shape =>
    x.type.shape.filter((_, i) => i !== inner[side] && batch.every((pair) => pair[side] !== i))
  const type: TensorType = {
    dtype: 'float32',
    shape: [...batch.map(([i]) => a.type.shape[i] ?? 0), ...own(a, 0), ...own(b, 1)],
  }
  const paired = `batching_dims = ${list(batch.map(([i]) => i))} x ${list(batch.map(([, i]) => i))}, `
  return call(
    w,
    'dot_general',
    [a, b],
    type,
    `, ${batch.length === 0 ? '' : paired}contracting_dims = [${inner[0]}] x [${inner[1]}], ${precise}`,
  )
}

/** How a convolution reads its operands and lays its result, and over which window. */
export interface Window {
  /** Axes by name: `b, f, 0, 1`. */
  readonly dims: readonly [string, string, string]
  readonly stride: readonly [number, number]
  /** Before and after each of the two axes. */
  readonly pad: readonly [readonly [number, number], readonly [number, number]]
  readonly dilate?: readonly [number, number]
  readonly kernelDilate?: readonly [number, number]
}
/** A convolution; what comes out is single precision, whatever goes in. */
export const convolution = (w: Writer, x: Line, kernel: Line, of: Window, shape: Shape): Line => {
  const { dims, stride, pad: edges, dilate = [1, 1], kernelDilate = [1, 1] } = of
  const type: TensorType = { dtype: 'float32', shape }
  const pads = `[${edges.map(list).join(', ')}]`
  return w.line(
    `stablehlo.convolution(${x.name}, ${kernel.name}) dim_numbers = [${dims[0]}]x[${dims[1]}]->[${dims[2]}], ` +
      `window = {stride = ${list(stride)}, pad = ${pads}, lhs_dilate = ${list(dilate)}, rhs_dilate = ${list(kernelDilate)}} ` +
      `{batch_group_count = 1 : i64, feature_group_count = 1 : i64, precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]} : ` +
      `(${typeTexts([x, kernel])}) -> ${typeText(type)}`,
    type,
  )
}

/** table[V, ...rest], indices[n, 1] -> [n, ...rest] */
export const gather = (w: Writer, table: Line, indices: Line): Line => {
  const rest = table.type.shape.slice(1)
  const type = shaped(table, [indices.type.shape[0] ?? 0, ...rest])
  return w.line(
    `"stablehlo.gather"(${table.name}, ${indices.name}) <{dimension_numbers = #stablehlo.gather<offset_dims = ${list(rest.map((_, i) => i + 1))}, ` +
      `collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: ${[1, ...rest].join(', ')}>, ` +
      `indices_are_sorted = false}> : (${typeTexts([table, indices])}) -> ${typeText(type)}`,
    type,
  )
}
/** into[V, ...rest], indices[n, 1], updates[n, ...rest]: adds each update to its row. */
export const scatterAdd = (w: Writer, into: Line, indices: Line, updates: Line): Line => {
  const one = typeText({ dtype: into.type.dtype, shape: [] })
  const window = list(
    strides(into.type.shape)
      .slice(1)
      .map((_, i) => i + 1),
  )
  return w.line(
    `"stablehlo.scatter"(${into.name}, ${indices.name}, ${updates.name}) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = ${window}, ` +
      `inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>, indices_are_sorted = false, unique_indices = false}> ` +
      `({ ^bb0(%a: ${one}, %b: ${one}): %s = stablehlo.add %a, %b : ${one} stablehlo.return %s : ${one} }) : ` +
      `(${typeTexts([into, indices, updates])}) -> ${typeText(into.type)}`,
    into.type,
  )
}
/** The index of the first greatest or least element along an axis. */
export const argument = (w: Writer, how: 'GT' | 'LT', x: Line, axis: number): Line => {
  const places = iota(w, { dtype: 'int32', shape: x.type.shape }, axis)
  const [worst, zero] = [
    scalar(w, x.type.dtype, how === 'GT' ? lowest[x.type.dtype] : greatest(x.type.dtype)),
    scalar(w, 'int32', 0),
  ]
  const [value, index, flag] = [typeText(worst.type), typeText(zero.type), 'tensor<i1>']
  const shape = x.type.shape.filter((_, i) => i !== axis)
  const [values, type] = [typeText(shaped(x, shape)), { dtype: 'int32', shape } as const]
  const made = w.own(
    `stablehlo.reduce(${x.name} init: ${worst.name}), (${places.name} init: ${zero.name}) across dimensions = [${axis}] : ` +
      `(${typeTexts([x, places, worst, zero])}) -> (${values}, ${typeText(type)}) ` +
      `reducer(%a: ${value}, %b: ${value}) (%i: ${index}, %j: ${index}) { ` +
      `%better = stablehlo.compare ${how}, %a, %b : (${value}, ${value}) -> ${flag} ` +
      `%same = stablehlo.compare EQ, %a, %b : (${value}, ${value}) -> ${flag} ` +
      `%before = stablehlo.compare LT, %i, %j : (${index}, ${index}) -> ${flag} ` +
      `%first = stablehlo.and %same, %before : ${flag} %taken = stablehlo.or %better, %first : ${flag} ` +
      `%v = stablehlo.select %taken, %a, %b : ${flag}, ${value} %k = stablehlo.select %taken, %i, %j : ${flag}, ${index} ` +
      `stablehlo.return %v, %k : ${value}, ${index} }`,
    2,
    type,
  )
  return { ...made, name: made.name.replace('#0', '#1') }
}
const greatest = (dtype: DType): number => (dtype === 'int32' ? 2 ** 31 - 1 : -lowest[dtype])

/** The first of some values, which is not computed anew from what stands before it, and not before the others are there. */
export const barrier = (w: Writer, xs: readonly [Line, ...(readonly Line[])]): Line =>
  w.own(`stablehlo.optimization_barrier ${xs.map((x) => x.name).join(', ')} : ${typeTexts(xs)}`, xs.length, xs[0].type)
