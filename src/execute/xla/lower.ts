import { type Attributes, type ElementwiseOp, each, families, type OpKind, type OpOf } from '../../graph/ops.ts'
import { type Shape, sameShape, size, type TensorType } from '../../graph/types.ts'
import { type Geometry, geometry } from '../geometry.ts'
import { type Order, orders, permuted, range, renamed, reshaped } from '../layout.ts'
import { full, type Laid, laid, largestOrder, moved, plain, ranked, rowMajor, together, without } from './laid.ts'
import type { Line, Writer } from './text.ts'
import * as s from './text.ts'

/** Of an op of fewer operands the last stands for those that it does not have. */
type Operands = readonly [Laid, Laid, Laid]
/** Writes what an op comes to. */
type Lowering<K extends OpKind> = (
  w: Writer,
  attributes: Attributes[K],
  operands: Operands,
  type: TensorType,
  /** As many as the node has. */
  all: readonly Laid[],
) => Laid
type Lowerings<K extends OpKind> = { readonly [P in K]: Lowering<P> }
type Any = (w: Writer, attributes: object, operands: Operands, type: TensorType, all: readonly Laid[]) => Laid

/** Number by number, in the order in which most of the operands lie. */
const pointwise =
  (make: (w: Writer, a: Line, b: Line, c: Line) => Line): Any =>
  (w, _, __, { shape }, all) => {
    const { lines, as } = together(w, all, shape)
    const [a = unmet(), b = a, c = b] = lines
    return as(make(w, a, b, c))
  }
const unmet = (): never => {
  throw new Error('an op without operands')
}
const one = (op: string): Any => pointwise((w, x) => s.unary(w, op, x))
const arithmetic = (op: string): Any => pointwise((w, a, b) => s.binary(w, op, a, b))

const elementwise: Lowerings<ElementwiseOp> = {
  neg: one('negate'),
  abs: one('abs'),
  sign: one('sign'),
  exp: one('exponential'),
  log: one('log'),
  sqrt: one('sqrt'),
  tanh: one('tanh'),
  sigmoid: one('logistic'),
  erf: pointwise(s.erf),
  sin: one('sine'),
  cos: one('cosine'),
  floor: one('floor'),
  silu: pointwise((w, x) => s.binary(w, 'multiply', x, s.unary(w, 'logistic', x))),
  cast: (w, { to }, [x]) => ({ ...x, line: s.convert(w, x.line, to) }),
  ...each(families.identity, ((_, __, [x]) => x) satisfies Any),
  recompute: (w, _, [x]) => ({ ...x, line: s.barrier(w, [x.line]) }),
  barrier: (w, _, [x, behind]) => ({ ...x, line: s.barrier(w, [x.line, behind.line]) }),
  add: arithmetic('add'),
  sub: arithmetic('subtract'),
  mul: arithmetic('multiply'),
  div: arithmetic('divide'),
  maximum: arithmetic('maximum'),
  minimum: arithmetic('minimum'),
  equal: pointwise((w, a, b) => s.compare(w, 'EQ', a, b)),
  less: pointwise((w, a, b) => s.compare(w, 'LT', a, b)),
  select: pointwise(s.select),
}

/** Bools are compared as numbers. */
const counted = (w: Writer, x: Line): Line => (x.type.dtype === 'bool' ? s.convert(w, x, 'int32') : x)

/** Axes are reduced where they lie; those that are kept are of length 1. */
const reduction =
  (op: 'add' | 'maximum'): Lowering<'sum' | 'reduceMax'> =>
  (w, { axes, keepDims }, [given], { shape }) => {
    const { line, order } = full(w, given)
    const reduced = s.reduce(
      w,
      op,
      line,
      axes.map((axis) => order.indexOf(axis)),
    )
    return keepDims ? laid(s.reshape(w, reduced, permuted(shape, order)), order) : laid(reduced, without(order, axes))
  }
const extreme =
  (how: 'GT' | 'LT'): Lowering<'argMax' | 'argMin'> =>
  (w, { axis }, [given]) => {
    const { line, order } = full(w, given)
    return laid(s.argument(w, how, counted(w, line), order.indexOf(axis)), without(order, [axis]))
  }
const reductions: Lowerings<OpOf<'reduction'>> = {
  sum: reduction('add'),
  reduceMax: reduction('maximum'),
  argMax: extreme('GT'),
  argMin: extreme('LT'),
  softmax: (w, { axis }, [given]) => {
    const { line, order } = full(w, given)
    const along = [order.indexOf(axis)]
    const powers = s.unary(w, 'exponential', s.binary(w, 'subtract', line, s.reduceSpread(w, 'maximum', line, along)))
    return laid(s.binary(w, 'divide', powers, s.reduceSpread(w, 'add', powers, along)), order)
  },
}

/** An operand of a product: which of its axes is summed over, and which one is the result's. */
interface Factor {
  readonly x: Laid
  readonly inner: number
  readonly own: number
}
/** Whose leading axes are all of length 1: a matrix. */
const isMatrix = ({ shape }: Laid): boolean => size(shape.slice(0, -2)) === 1
const matrixOf = (w: Writer, x: Laid): Laid =>
  x.shape.length === 2 ? full(w, x) : rowMajor(s.reshape(w, plain(w, x), x.shape.slice(-2)))
/** A product of arrays with one matrix: one product of all their rows. The result lies as its rows do. */
const withMatrix = (w: Writer, rows: Factor, matrix: Factor, axis: number): Laid => {
  const [x, m] = [full(w, rows.x), full(w, matrix.x)]
  const product = s.dot(w, x.line, m.line, {
    batch: [],
    inner: [x.order.indexOf(rows.inner), m.order.indexOf(matrix.inner)],
  })
  const rank = x.shape.length
  const other = axis === rank - 1 ? rank - 2 : rank - 1
  const order = x.order.flatMap((a) => (a === rows.inner ? [] : [a === rows.own ? other : a]))
  return laid(product, [...order, axis])
}
const products: Lowerings<OpOf<'product'>> = {
  matmul: (w, { transposeA, transposeB }, [a, b], { dtype, shape }) => {
    const rank = shape.length
    const factor = (x: Laid, innerIsFirst: boolean): Factor => {
      const [first, second] = [x.shape.length - 2, x.shape.length - 1]
      return innerIsFirst ? { x, inner: first, own: second } : { x, inner: second, own: first }
    }
    const product = (): Laid => {
      if (isMatrix(b))
        return withMatrix(w, factor(ranked(w, a, rank), transposeA), factor(matrixOf(w, b), !transposeB), rank - 1)
      if (isMatrix(a))
        return withMatrix(w, factor(ranked(w, b, rank), !transposeB), factor(matrixOf(w, a), transposeA), rank - 2)
      const batch = shape.slice(0, -2)
      const [left, right] = [a, b].map((x) => {
        const wide = ranked(w, x, rank)
        return full(w, { ...wide, shape: [...batch, ...x.shape.slice(-2)] })
      })
      if (left === undefined || right === undefined) return unmet()
      const [one, two] = [factor(left, transposeA), factor(right, !transposeB)]
      const line = s.dot(w, left.line, right.line, {
        batch: batch.map((_, i) => [left.order.indexOf(i), right.order.indexOf(i)] as const),
        inner: [left.order.indexOf(one.inner), right.order.indexOf(two.inner)],
      })
      return rowMajor(line)
    }
    const made = product()
    return { ...made, line: s.convert(w, made.line, dtype) }
  },
}

/** The axes of pictures [N, C, H, W] and of weights [O, C, h, w] by StableHLO's names, in the order in which they lie. */
const named = (names: readonly string[], order: Order): string => permuted(names, order).join(', ')
const pictures = ['b', 'f', '0', '1']
const weights = ['o', 'i', '0', '1']
/** Of a gradient by weights: channels of x are its batch, pictures its features. */
const turned = { x: ['f', 'b', '0', '1'], dy: ['i', 'o', '0', '1'] }
const extentOf = ({ type }: Line, dims: string, name: string): number => type.shape[dims.split(', ').indexOf(name)] ?? 0
/** How far a window moves beyond what it was told, so that its result has so many places. */
const behind = (places: number, stride: number, window: number, extent: number, before: number): number =>
  (places - 1) * stride + window - extent - before
/** Of an axis of which padding below 0 cuts places off: the elements that are left, `apart` from each other, and the padding around them. */
const uncut = (extent: number, apart: number, pad: readonly [number, number]) => {
  const [front, back] = [Math.max(0, Math.ceil(-pad[0] / apart)), Math.max(0, Math.ceil(-pad[1] / apart))]
  return { start: front, left: extent - front - back, pad: [pad[0] + front * apart, pad[1] + back * apart] as const }
}
/** An array between whose places there are zeros already, and around them: what XLA is to leave as it is. */
const spacedOut = (w: Writer, line: Line, order: Order, { dilate = [1, 1], pad: edges, ...window }: s.Window) => {
  const perAxis = (height: number, width: number): Shape => permuted([0, 0, height, width], order)
  const [[top, bottom], [left, right]] = edges
  const between = perAxis(dilate[0] - 1, dilate[1] - 1)
  const wide = s.pad(w, line, perAxis(top, left), perAxis(bottom, right), between)
  const around: s.Window['pad'] = [
    [0, 0],
    [0, 0],
  ]
  return { line: s.barrier(w, [wide]), window: { ...window, pad: around } }
}
/**
 * A convolution that lies in an order. XLA's plugin for the CPU (2026.6) reads beyond arrays, or ends the process, where padding is below 0 or
 * windows do not reach the end: what padding cuts off is sliced off. It ends the process too while it simplifies one of places set apart of which
 * there are fewer along an axis than the kernel has: their zeros are written.
 */
const convolved = (w: Writer, x: Laid, kernel: Line, window: s.Window, shape: Shape, order: Order): Laid => {
  const [down = 1, across = 1] = window.dilate ?? []
  const own = permuted(shape, order)
  const [h, v] = [uncut(x.shape[2] ?? 0, down, window.pad[0]), uncut(x.shape[3] ?? 0, across, window.pad[1])]
  if (h.left <= 0 || v.left <= 0) return laid(s.constant(w, { dtype: 'float32', shape: own }, [0]), order)
  const [n = 0, c = 0] = x.shape
  const [start, left] = [
    [0, 0, h.start, v.start],
    [n, c, h.left, v.left],
  ]
  const line = sameShape(left, x.shape) ? x.line : s.slice(w, x.line, permuted(start, x.order), permuted(left, x.order))
  const told = { ...window, pad: [h.pad, v.pad] } as const
  const isWider = [h.left, v.left].some((extent, i) => extent < extentOf(kernel, window.dims[1], String(i)))
  const given = isWider && down * across > 1 ? spacedOut(w, line, x.order, told) : { line, window: told }
  return laid(s.convolution(w, given.line, kernel, given.window, own), order)
}
const convolutions: Lowerings<OpOf<'convolution'>> = {
  conv2d: (w, attributes, operands, { dtype, shape }) => {
    const [x, kernel] = operands.map((operand) => full(w, operand))
    if (x === undefined || kernel === undefined) return unmet()
    const g = geometry(x.shape, kernel.shape, shape, attributes)
    const window: s.Window = {
      dims: [named(pictures, x.order), named(weights, kernel.order), named(pictures, orders.nhwc)],
      stride: [g.sh, g.sw],
      pad: [
        [g.top, behind(g.oh, g.sh, g.kh, g.h, g.top)],
        [g.left, behind(g.ow, g.sw, g.kw, g.w, g.left)],
      ],
    }
    const y = convolved(w, x, kernel.line, window, shape, orders.nhwc)
    return { ...y, line: s.convert(w, y.line, dtype) }
  },
  convInputGrad: (w, attributes, operands, { shape }) => {
    const [dy, kernel] = operands.map((operand) => full(w, operand))
    if (dy === undefined || kernel === undefined) return unmet()
    const g: Geometry = geometry(shape, kernel.shape, dy.shape, attributes)
    const edges = (k: number, before: number, places: number, stride: number, extent: number) => {
      const low = k - 1 - before
      return [low, extent + k - 1 - ((places - 1) * stride + 1) - low] as const
    }
    const window: s.Window = {
      dims: [named(pictures, dy.order), named(turned.dy, kernel.order), named(pictures, orders.nhwc)],
      stride: [1, 1],
      dilate: [g.sh, g.sw],
      pad: [edges(g.kh, g.top, g.oh, g.sh, g.h), edges(g.kw, g.left, g.ow, g.sw, g.w)],
    }
    const around = s.reverse(
      w,
      kernel.line,
      [2, 3].map((axis) => kernel.order.indexOf(axis)),
    )
    return convolved(w, dy, around, window, shape, orders.nhwc)
  },
  convWeightGrad: (w, attributes, operands, { shape }) => {
    const [x, dy] = operands.map((operand) => full(w, operand))
    if (x === undefined || dy === undefined) return unmet()
    const g: Geometry = geometry(x.shape, shape, dy.shape, attributes)
    const window: s.Window = {
      dims: [named(turned.x, x.order), named(turned.dy, dy.order), named(turned.x, orders.hwio)],
      stride: [1, 1],
      kernelDilate: [g.sh, g.sw],
      pad: [
        [g.top, behind(g.oh, g.sh, g.kh, g.h, g.top)],
        [g.left, behind(g.ow, g.sw, g.kw, g.w, g.left)],
      ],
    }
    return convolved(w, x, dy.line, window, shape, orders.hwio)
  },
}

const column = (w: Writer, indices: Line): Line => s.reshape(w, indices, [size(indices.type.shape), 1])
/** Of pictures that lie in an order: height and width each in two, of which the second has `factor` places, and where the two stand then. */
const inTwo = (shape: Shape, order: Order, [down = 1, right = 1]: Shape) => {
  const parts = order.map((axis) => {
    const extent = shape[axis] ?? 0
    return axis === 2 ? [extent, down] : axis === 3 ? [extent, right] : [extent]
  })
  const firsts = parts.map((_, i) => parts.slice(0, i).flat().length)
  const seconds = parts.flatMap((part, i) => (part.length === 2 ? [(firsts[i] ?? 0) + 1] : []))
  return { shape: parts.flat(), firsts, seconds }
}
const movement: Lowerings<OpOf<'movement'>> = {
  reshape: (w, { shape }, [given]) => {
    const x = full(w, given)
    const order = reshaped(x.line.type.shape, x.order, shape)
    return order === undefined
      ? rowMajor(s.reshape(w, plain(w, x), shape))
      : laid(s.reshape(w, x.line, permuted(shape, order)), order)
  },
  transpose: (_, { permutation }, [{ line, order, shape }]) => ({
    line,
    order: renamed(order, permutation),
    shape: permuted(shape, permutation),
  }),
  slice: (w, { start, size: extent }, [given]) => {
    const { line, order } = full(w, given)
    return laid(s.slice(w, line, permuted(start, order), permuted(extent, order)), order)
  },
  pad: (w, { low, high }, [given]) => {
    const { line, order } = full(w, given)
    return laid(s.pad(w, line, permuted(low, order), permuted(high, order)), order)
  },
  concat: (w, { axis }, _, { dtype, shape }, all) => {
    const order = largestOrder(all, shape.length)
    const lines = all.map((x) => moved(w, full(w, x), order).line)
    return laid(s.concat(w, lines, order.indexOf(axis), { dtype, shape: permuted(shape, order) }), order)
  },
  broadcast: (w, { shape }, [x]) => ({ ...ranked(w, x, shape.length), shape }),
  gather: (w, _, [table, indices], { shape }) =>
    rowMajor(s.reshape(w, s.gather(w, plain(w, table), column(w, plain(w, indices))), shape)),
  scatterAdd: (w, _, [indices, updates], type) => {
    const rows = s.reshape(w, plain(w, updates), [size(indices.shape), ...type.shape.slice(1)])
    return rowMajor(s.scatterAdd(w, s.constant(w, type, [0]), column(w, plain(w, indices)), rows))
  },
  upsampleNearest: (w, { factor }, [given], { shape }) => {
    const { line, order, shape: from } = full(w, given)
    const wide = inTwo(from, order, factor)
    return laid(s.reshape(w, s.spread(w, line, wide.shape, wide.firsts), permuted(shape, order)), order)
  },
  maxPool: (w, { factor }, [given], { shape }) => {
    const { line, order } = full(w, given)
    const wide = inTwo(shape, order, factor)
    return laid(s.reduce(w, 'maximum', s.reshape(w, line, wide.shape), wide.seconds), order)
  },
}

/** x[N, C, ...], its channels in two where they lie, less its mean by groups, and 1 / sqrt(var + eps) [N, G]. */
const normalised = (w: Writer, { line, order, shape }: Laid, { groups, eps }: Attributes['standardize']) => {
  const at = order.indexOf(1)
  const channels = shape[1] ?? 0
  const lying = line.type.shape
  const grouped = s.reshape(w, line, [...lying.slice(0, at), groups, channels / groups, ...lying.slice(at + 1)])
  const own = [0, at]
  const others = range(lying.length + 1).filter((axis) => !own.includes(axis))
  const count = (channels / groups) * size(shape.slice(2))
  const mean = (of: Line): Line => s.withNumber(w, 'multiply', s.reduce(w, 'add', of, others), 1 / count)
  const centred = s.binary(w, 'subtract', grouped, s.spread(w, mean(grouped), grouped.type.shape, own))
  const variance = mean(s.binary(w, 'multiply', centred, centred))
  return { centred, rstd: s.unary(w, 'rsqrt', s.withNumber(w, 'add', variance, eps)), own }
}
/** An array whose items lie one behind another. */
const itemsFirst = (w: Writer, given: Laid): Laid => {
  const x = full(w, given)
  return x.order[0] === 0 ? x : rowMajor(plain(w, x))
}
const standardised = (w: Writer, x: Laid, attributes: Attributes['standardize']): Laid => {
  const { centred, rstd, own } = normalised(w, x, attributes)
  const scaled = s.binary(w, 'multiply', centred, s.spread(w, rstd, centred.type.shape, own))
  return { ...x, line: s.reshape(w, scaled, x.line.type.shape) }
}
const normalisation: Lowerings<OpOf<'normalisation'>> = {
  groupNorm: (w, attributes, [given, weight, bias]) => {
    const x = itemsFirst(w, given)
    const { shape } = x.line.type
    const perChannel = (p: Laid): Line => s.spread(w, plain(w, p), shape, [x.order.indexOf(1)])
    const { line } = standardised(w, x, attributes)
    return { ...x, line: s.binary(w, 'add', s.binary(w, 'multiply', line, perChannel(weight)), perChannel(bias)) }
  },
  standardize: (w, attributes, [given]) => standardised(w, itemsFirst(w, given), attributes),
  groupRstd: (w, attributes, [given]) => rowMajor(normalised(w, itemsFirst(w, given), attributes).rstd),
}

/** How every op comes to be that is no leaf. */
export const lowerings: Lowerings<Exclude<OpKind, 'input' | 'parameter' | 'noise'>> = {
  constant: (w, { type: { dtype, shape }, data }) =>
    data.length === 1 && size(shape) > 0
      ? { ...rowMajor(s.constant(w, { dtype, shape: shape.map(() => 1) }, data)), shape }
      : rowMajor(s.constant(w, { dtype, shape }, data)),
  ...elementwise,
  ...reductions,
  ...products,
  ...convolutions,
  ...movement,
  ...normalisation,
}
