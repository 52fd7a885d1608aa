import { type Attributes, type ElementwiseOp, each, families, type OpKind, type OpOf } from '../../graph/ops.ts'
import { type Shape, size, type TensorType } from '../../graph/types.ts'
import { type Geometry, geometry } from '../geometry.ts'
import type { Line, Writer } from './text.ts'
import * as s from './text.ts'

/** Of an op of fewer operands the last stands for those that it does not have. */
type Operands = readonly [Line, Line, Line]
/** Writes what an op comes to. */
type Lowering<K extends OpKind> = (
  w: Writer,
  attributes: Attributes[K],
  operands: Operands,
  type: TensorType,
  /** As many as the node has. */
  all: readonly Line[],
) => Line
type Lowerings<K extends OpKind> = { readonly [P in K]: Lowering<P> }
type Any = (w: Writer, attributes: object, operands: Operands, type: TensorType) => Line

const one =
  (op: string): Any =>
  (w, _, [x]) =>
    s.unary(w, op, x)
const two =
  (make: (w: Writer, a: Line, b: Line) => Line): Any =>
  (w, _, [a, b], { shape }) =>
    make(w, s.broadcast(w, a, shape), s.broadcast(w, b, shape))
const arithmetic = (op: string): Any => two((w, a, b) => s.binary(w, op, a, b))

const elementwise: Lowerings<ElementwiseOp> = {
  neg: one('negate'),
  abs: one('abs'),
  sign: one('sign'),
  exp: one('exponential'),
  log: one('log'),
  sqrt: one('sqrt'),
  tanh: one('tanh'),
  sigmoid: one('logistic'),
  erf: (w, _, [x]) => s.erf(w, x),
  sin: one('sine'),
  cos: one('cosine'),
  floor: one('floor'),
  silu: (w, _, [x]) => s.binary(w, 'multiply', x, s.unary(w, 'logistic', x)),
  cast: (w, { to }, [x]) => s.convert(w, x, to),
  ...each(families.identity, ((_, __, [x]) => x) satisfies Any),
  recompute: (w, _, [x]) => s.barrier(w, [x]),
  barrier: (w, _, [x, behind]) => s.barrier(w, [x, behind]),
  add: arithmetic('add'),
  sub: arithmetic('subtract'),
  mul: arithmetic('multiply'),
  div: arithmetic('divide'),
  maximum: arithmetic('maximum'),
  minimum: arithmetic('minimum'),
  equal: two((w, a, b) => s.compare(w, 'EQ', a, b)),
  less: two((w, a, b) => s.compare(w, 'LT', a, b)),
  select: (w, _, [c, a, b], { shape }) =>
    s.select(w, s.broadcast(w, c, shape), s.broadcast(w, a, shape), s.broadcast(w, b, shape)),
}

/** Bools are compared as numbers. */
const counted = (w: Writer, x: Line): Line => (x.type.dtype === 'bool' ? s.convert(w, x, 'int32') : x)

const reductions: Lowerings<OpOf<'reduction'>> = {
  sum: (w, { axes }, [x], { shape }) => s.reshape(w, s.reduce(w, 'add', x, axes), shape),
  reduceMax: (w, { axes }, [x], { shape }) => s.reshape(w, s.reduce(w, 'maximum', x, axes), shape),
  argMax: (w, { axis }, [x]) => s.argument(w, 'GT', counted(w, x), axis),
  argMin: (w, { axis }, [x]) => s.argument(w, 'LT', counted(w, x), axis),
  softmax: (w, { axis }, [x]) => {
    const powers = s.unary(w, 'exponential', s.binary(w, 'subtract', x, s.reduceSpread(w, 'maximum', x, [axis])))
    return s.binary(w, 'divide', powers, s.reduceSpread(w, 'add', powers, [axis]))
  },
}

/** Leading axes of a product's operand, so that both have as many and none has to be repeated along an axis of its own. */
const batched = (w: Writer, x: Line, batch: Shape): Line => s.broadcast(w, x, [...batch, ...x.type.shape.slice(-2)])
const products: Lowerings<OpOf<'product'>> = {
  matmul: (w, { transposeA, transposeB }, [a, b], { dtype, shape }) => {
    const batch = shape.slice(0, -2)
    const single = size(b.type.shape.slice(0, -2)) === 1
    const [left, right] = [
      batched(w, a, batch),
      single ? s.reshape(w, b, b.type.shape.slice(-2)) : batched(w, b, batch),
    ]
    const [aInner, bInner] = [transposeA ? -2 : -1, transposeB ? -1 : -2]
    const product = s.dot(w, left, right, {
      batch: single ? [] : batch.map((_, i) => [i, i] as const),
      inner: [left.type.shape.length + aInner, right.type.shape.length + bInner],
    })
    return s.convert(w, product, dtype)
  },
}

const nchw = 'b, f, 0, 1'
const oihw = 'o, i, 0, 1'
/** How far a window moves beyond what it was told, so that its result has so many places. */
const behind = (places: number, stride: number, window: number, extent: number, before: number): number =>
  (places - 1) * stride + window - extent - before
const convolutions: Lowerings<OpOf<'convolution'>> = {
  conv2d: (w, attributes, [x, kernel], { dtype, shape }) => {
    const { sh, sw, top, left, bottom, right } = geometry(x.type.shape, kernel.type.shape, shape, attributes)
    const window: s.Window = {
      dims: [nchw, oihw, nchw],
      stride: [sh, sw],
      pad: [
        [top, bottom],
        [left, right],
      ],
    }
    return s.convert(w, s.convolution(w, x, kernel, window, shape), dtype)
  },
  convInputGrad: (w, attributes, [dy, kernel], { shape }) => {
    const g: Geometry = geometry(shape, kernel.type.shape, dy.type.shape, attributes)
    const edges = (k: number, before: number, places: number, stride: number, extent: number) => {
      const low = k - 1 - before
      return [low, extent + k - 1 - ((places - 1) * stride + 1) - low] as const
    }
    const window: s.Window = {
      dims: [nchw, 'i, o, 0, 1', nchw],
      stride: [1, 1],
      dilate: [g.sh, g.sw],
      pad: [edges(g.kh, g.top, g.oh, g.sh, g.h), edges(g.kw, g.left, g.ow, g.sw, g.w)],
    }
    return s.convolution(w, dy, s.reverse(w, kernel, [2, 3]), window, shape)
  },
  convWeightGrad: (w, attributes, [x, dy], { shape }) => {
    const g: Geometry = geometry(x.type.shape, shape, dy.type.shape, attributes)
    const window: s.Window = {
      dims: ['f, b, 0, 1', 'i, o, 0, 1', 'f, b, 0, 1'],
      stride: [1, 1],
      kernelDilate: [g.sh, g.sw],
      pad: [
        [g.top, behind(g.oh, g.sh, g.kh, g.h, g.top)],
        [g.left, behind(g.ow, g.sw, g.kw, g.w, g.left)],
      ],
    }
    return s.convolution(w, x, dy, window, shape)
  },
}

const column = (w: Writer, indices: Line): Line => s.reshape(w, indices, [size(indices.type.shape), 1])
const movement: Lowerings<OpOf<'movement'>> = {
  reshape: (w, { shape }, [x]) => s.reshape(w, x, shape),
  transpose: (w, { permutation }, [x]) => s.transpose(w, x, permutation),
  slice: (w, { start, size: extent }, [x]) => s.slice(w, x, start, extent),
  pad: (w, { low, high }, [x]) => s.pad(w, x, low, high),
  concat: (w, { axis }, _, type, all) => s.concat(w, all, axis, type),
  broadcast: (w, { shape }, [x]) => s.broadcast(w, x, shape),
  gather: (w, _, [table, indices], { shape }) => s.reshape(w, s.gather(w, table, column(w, indices)), shape),
  scatterAdd: (w, _, [indices, updates], type) => {
    const rows = s.reshape(w, updates, [size(indices.type.shape), ...type.shape.slice(1)])
    return s.scatterAdd(w, s.constant(w, type, [0]), column(w, indices), rows)
  },
  upsampleNearest: (w, { factor }, [x], { shape }) => {
    const [n = 0, c = 0, h = 0, width = 0] = x.type.shape
    const [down = 1, right = 1] = factor
    return s.reshape(w, s.spread(w, x, [n, c, h, down, width, right], [0, 1, 2, 4]), shape)
  },
  maxPool: (w, { factor }, [x], { shape }) => {
    const [n = 0, c = 0, h = 0, width = 0] = shape
    const [down = 1, right = 1] = factor
    return s.reduce(w, 'maximum', s.reshape(w, x, [n, c, h, down, width, right]), [3, 5])
  },
}

/** x[N, C, ...] less its mean, by groups [N, G, C/G, positions], and 1 / sqrt(var + eps) [N, G]. */
const normalised = (w: Writer, x: Line, { groups, eps }: Attributes['standardize']) => {
  const [n = 0, c = 0, ...rest] = x.type.shape
  const grouped = s.reshape(w, x, [n, groups, c / groups, size(rest)])
  const count = (c / groups) * size(rest)
  const mean = (of: Line): Line => s.withNumber(w, 'multiply', s.reduce(w, 'add', of, [2, 3]), 1 / count)
  const centred = s.binary(w, 'subtract', grouped, s.spread(w, mean(grouped), grouped.type.shape, [0, 1]))
  const variance = mean(s.binary(w, 'multiply', centred, centred))
  return { centred, rstd: s.unary(w, 'rsqrt', s.withNumber(w, 'add', variance, eps)) }
}
const standardised = (w: Writer, x: Line, attributes: Attributes['standardize']): Line => {
  const { centred, rstd } = normalised(w, x, attributes)
  return s.reshape(w, s.binary(w, 'multiply', centred, s.spread(w, rstd, centred.type.shape, [0, 1])), x.type.shape)
}
const normalisation: Lowerings<OpOf<'normalisation'>> = {
  groupNorm: (w, attributes, [x, weight, bias], { shape }) => {
    const perChannel = (p: Line): Line => s.spread(w, p, shape, [1])
    const scaled = s.binary(w, 'multiply', standardised(w, x, attributes), perChannel(weight))
    return s.binary(w, 'add', scaled, perChannel(bias))
  },
  standardize: (w, attributes, [x]) => standardised(w, x, attributes),
  groupRstd: (w, attributes, [x]) => normalised(w, x, attributes).rstd,
}

/** How every op comes to be that is no leaf. */
export const lowerings: Lowerings<Exclude<OpKind, 'input' | 'parameter' | 'noise'>> = {
  constant: (w, { type, data }) => s.constant(w, type, data),
  ...elementwise,
  ...reductions,
  ...products,
  ...convolutions,
  ...movement,
  ...normalisation,
}
