import {
  add,
  broadcast,
  cast,
  conv2d,
  convInputGrad,
  convWeightGrad,
  cos,
  div,
  equal,
  exp,
  gather,
  groupRstd,
  indicator,
  less,
  matmul,
  mul,
  neg,
  pad,
  part,
  recompute,
  reshape,
  scatterAdd,
  select,
  sigmoid,
  sign,
  sin,
  slice,
  standardize,
  sub,
  sum,
  type Tensor,
  transpose,
  upsampleNearest,
  type Window,
  zerosLike,
} from '../declare/index.ts'
import type { Attributes, OpKind } from '../graph/ops.ts'
import { broadcastAxes, isFloat, type Shape, size } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { isZero } from './fold.ts'

/** One application of an op, and the cotangent of its result. */
export interface Application<K extends OpKind> {
  readonly attributes: Attributes[K]
  readonly args: readonly Tensor[]
  readonly out: Tensor
  readonly dy: Tensor
}
/** The cotangent of one argument, made only where it is needed; `null` where the op is constant in it. */
export type Cotangent = (() => Tensor) | null
export type GradientRule<K extends OpKind> = (application: Application<K>) => readonly Cotangent[]
type AnyApplication = Application<OpKind>

const argument = (args: readonly Tensor[], i: number): Tensor => {
  const found = args[i]
  if (found === undefined) throw new Error(`gradient rule reached past its arguments: ${i}`)
  return found
}
const dim = (s: Shape, i: number): number => s[i] ?? 1

/** Sums out what broadcasting repeated. */
export const unbroadcast =
  (to: Shape) =>
  (x: Tensor): Tensor => {
    const axes = broadcastAxes(to, x.shape)
    return axes.length === 0 ? x : pipe(x, sum({ axes }), reshape(...to))
  }
/** A reduction's cotangent, spread over what was reduced. */
const spread =
  (x: Tensor, axes: readonly number[]) =>
  (dy: Tensor): Tensor =>
    pipe(dy, reshape(...x.shape.map((d, i) => (axes.includes(i) ? 1 : d))), broadcast(...x.shape))

const constantIn: GradientRule<OpKind> = ({ args }) => args.map(() => null)
const unary =
  (derivative: (x: Tensor, out: Tensor, dy: Tensor) => Tensor) =>
  ({ args, out, dy }: AnyApplication): readonly Cotangent[] => [() => derivative(argument(args, 0), out, dy)]
const binary =
  (left: (a: Tensor, b: Tensor, dy: Tensor, out: Tensor) => Tensor, right: typeof left) =>
  ({ args, out, dy }: AnyApplication): readonly Cotangent[] => {
    const [a, b] = [argument(args, 0), argument(args, 1)]
    return [
      () => pipe(left(a, b, dy, out), unbroadcast(a.shape)),
      () => pipe(right(a, b, dy, out), unbroadcast(b.shape)),
    ]
  }

const windowOf = ({ stride, padding }: Attributes['conv2d']): Window => ({
  stride: [dim(stride, 0), dim(stride, 1)],
  padding: [padding[0] ?? 0, padding[1] ?? 0, padding[2] ?? 0, padding[3] ?? 0],
})

/** [..., m, k] as [rows, k], for a right operand without batch axes: one product instead of a batch and a sum. */
const rows = (x: Tensor): Tensor => pipe(x, reshape(size(x.shape.slice(0, -1)), x.shape.at(-1) ?? 1))

const matmulRule: GradientRule<'matmul'> = ({ attributes: { transposeA, transposeB }, args, dy }) => {
  const [a, b] = [argument(args, 0), argument(args, 1)]
  const flat = b.shape.length === 2 && a.shape.length > 2 && !transposeA
  const [fa, fdy] = flat ? [() => rows(a), () => rows(dy)] : [() => a, () => dy]
  return [
    () =>
      pipe(
        transposeA
          ? pipe(b, matmul(dy, { transposeA: transposeB, transposeB: true }))
          : pipe(dy, matmul(b, { transposeB: !transposeB })),
        unbroadcast(a.shape),
      ),
    () =>
      pipe(
        transposeB
          ? pipe(fdy(), matmul(fa(), { transposeA: true, transposeB: transposeA }))
          : pipe(fa(), matmul(fdy(), { transposeA: !transposeA })),
        unbroadcast(b.shape),
      ),
  ]
}

/** x[N, C, ...] as [N, G, C/G, positions]. */
const grouped =
  (groups: number) =>
  (x: Tensor): Tensor => {
    const [n, c] = [dim(x.shape, 0), dim(x.shape, 1)]
    return pipe(x, reshape(n, groups, c / groups, size(x.shape.slice(2))))
  }

/**
 * Backward of group normalisation by two reductions a channel: with s1 = sum dy and s2 = sum dy xhat over the
 * positions of each (n, c), dweight = sum_n s2, dbias = sum_n s1 and
 * dx = rstd (weight dy - (sum_c weight s1 + xhat sum_c weight s2) / m), m the size of a group.
 */
const groupNormRule: GradientRule<'groupNorm'> = ({ attributes: { groups, eps }, args, dy }) => {
  const [x, weight] = [argument(args, 0), argument(args, 1)]
  const [n, c] = [dim(x.shape, 0), dim(x.shape, 1)]
  const positions = size(x.shape.slice(2))
  const m = (c / groups) * positions
  const xhat = pipe(x, standardize({ groups, eps }), grouped(groups))
  const g = pipe(dy, grouped(groups))
  const perChannel = pipe(weight, reshape(1, groups, c / groups))
  const s1 = pipe(g, sum({ axes: [3] }))
  const s2 = pipe(g, mul(xhat), sum({ axes: [3] }))
  const rstd = pipe(x, groupRstd({ groups, eps }), reshape(n, groups, 1))
  const mean = (s: Tensor): Tensor =>
    pipe(s, mul(perChannel), sum({ axes: [2], keepDims: true }), mul(pipe(rstd, mul(1 / m))), reshape(n, groups, 1, 1))
  return [
    () =>
      pipe(
        g,
        mul(pipe(rstd, mul(perChannel), reshape(n, groups, c / groups, 1))),
        sub(pipe(xhat, mul(mean(s2)))),
        sub(mean(s1)),
        reshape(...x.shape),
      ),
    () => pipe(s2, sum({ axes: [0] }), reshape(c)),
    () => pipe(s1, sum({ axes: [0] }), reshape(c)),
  ]
}
const standardizeRule: GradientRule<'standardize'> = ({ attributes: { groups, eps }, args, out, dy }) => {
  const x = argument(args, 0)
  const n = dim(x.shape, 0)
  const [g, xhat] = [pipe(dy, grouped(groups)), pipe(out, grouped(groups))]
  const over = { axes: [2, 3], keepDims: true }
  const m = size(x.shape) / (n * groups)
  return [
    () =>
      pipe(
        g,
        sub(pipe(g, sum(over), mul(1 / m))),
        sub(pipe(xhat, mul(pipe(g, mul(xhat), sum(over), mul(1 / m))))),
        mul(pipe(x, groupRstd({ groups, eps }), reshape(n, groups, 1, 1))),
        reshape(...x.shape),
      ),
  ]
}
/** d rstd / dx = -rstd^2 xhat / m */
const groupRstdRule: GradientRule<'groupRstd'> = ({ attributes: { groups, eps }, args, out, dy }) => {
  const x = argument(args, 0)
  const n = dim(x.shape, 0)
  const m = size(x.shape) / (n * groups)
  const scale = pipe(dy, mul(out), mul(out), mul(-1 / m), reshape(n, groups, 1, 1))
  return [() => pipe(x, standardize({ groups, eps }), grouped(groups), mul(scale), reshape(...x.shape))]
}

/** The sum of each window of x[N, C, H f0, W f1]. */
const windowSums =
  (factor: Shape) =>
  (x: Tensor): Tensor => {
    const [n, c, down, right] = [dim(x.shape, 0), dim(x.shape, 1), dim(factor, 0), dim(factor, 1)]
    const [h, w] = [dim(x.shape, 2) / down, dim(x.shape, 3) / right]
    return pipe(x, reshape(n * c, h, down, w, right), sum({ axes: [2, 4] }), reshape(n, c, h, w))
  }

/**
 * The first operand wins only where it is strictly ahead: relu(x) = maximum(x, 0) has slope 0 at 0. Beside 0, which has no other value in
 * half precision, the result tells as well as the operand does, which so need not be kept.
 */
const chosen = (isLeft: (a: Tensor, b: Tensor) => Tensor) => {
  const won = (a: Tensor, b: Tensor, out: Tensor): Tensor => isLeft(isZero(b) ? out : a, b)
  return binary(
    (a, b, dy, out) => pipe(won(a, b, out), select(dy, 0)),
    (a, b, dy, out) => pipe(won(a, b, out), select(zerosLike(dy), dy)),
  )
}

export const gradientRules: { readonly [K in OpKind]: GradientRule<K> } = {
  input: constantIn,
  parameter: constantIn,
  noise: constantIn,
  constant: constantIn,

  neg: unary((_x, _out, dy) => neg(dy)),
  abs: unary((x, _out, dy) => pipe(dy, mul(sign(x)))),
  sign: constantIn,
  exp: unary((_x, out, dy) => pipe(dy, mul(out))),
  log: unary((x, _out, dy) => pipe(dy, div(x))),
  sqrt: unary((_x, out, dy) => pipe(dy, div(out), mul(0.5))),
  tanh: unary((_x, out, dy) => pipe(dy, sub(pipe(dy, mul(out), mul(out))))),
  sigmoid: unary((_x, out, dy) => pipe(dy, mul(pipe(out, sub(pipe(out, mul(out))))))),
  erf: unary((x, _out, dy) => pipe(dy, mul(pipe(x, mul(x), neg, exp, mul(2 / Math.sqrt(Math.PI)))))),
  sin: unary((x, _out, dy) => pipe(dy, mul(cos(x)))),
  cos: unary((x, _out, dy) => pipe(dy, mul(sin(x)), neg)),
  floor: constantIn,
  silu: unary((x, out, dy) => {
    const [s, y] = [sigmoid(recompute(x)), recompute(out)]
    return pipe(dy, mul(pipe(s, add(y), sub(pipe(y, mul(s))))))
  }),
  cast: unary((x, _out, dy) => (isFloat(x.type.dtype) ? cast(x.type.dtype)(dy) : dy)),
  stopGradient: constantIn,
  mark: unary((_x, _out, dy) => dy),
  recompute: unary((_x, _out, dy) => dy),
  barrier: ({ dy }) => [() => dy, null],

  add: binary(
    (_a, _b, dy) => dy,
    (_a, _b, dy) => dy,
  ),
  sub: binary(
    (_a, _b, dy) => dy,
    (_a, _b, dy) => neg(dy),
  ),
  mul: binary(
    (_a, b, dy) => pipe(dy, mul(b)),
    (a, _b, dy) => pipe(dy, mul(a)),
  ),
  div: binary(
    (_a, b, dy) => pipe(dy, div(b)),
    (_a, b, dy, out) => pipe(dy, mul(out), div(b), neg),
  ),
  maximum: chosen((a, b) => pipe(b, less(a))),
  minimum: chosen((a, b) => pipe(a, less(b))),
  equal: constantIn,
  less: constantIn,

  select: ({ args, dy }) => {
    const [condition, a, b] = [argument(args, 0), argument(args, 1), argument(args, 2)]
    return [
      null,
      () => pipe(condition, select(dy, 0), unbroadcast(a.shape)),
      () => pipe(condition, select(zerosLike(dy), dy), unbroadcast(b.shape)),
    ]
  },

  sum: ({ attributes: { axes }, args, dy }) => [() => pipe(dy, spread(argument(args, 0), axes))],
  /** Shared evenly between equal maxima. */
  reduceMax: ({ attributes: { axes }, args, out, dy }) => {
    const x = argument(args, 0)
    const winners = pipe(x, equal(pipe(out, spread(x, axes))), indicator)
    const ways = pipe(winners, sum({ axes, keepDims: true }))
    return [() => pipe(dy, spread(x, axes), mul(winners), div(ways))]
  },
  argMax: constantIn,
  argMin: constantIn,
  softmax: ({ attributes: { axis }, out, dy }) => [
    () => pipe(dy, sub(pipe(dy, mul(out), sum({ axes: [axis], keepDims: true }))), mul(out)),
  ],

  matmul: matmulRule,
  conv2d: ({ attributes, args, dy }) => {
    const [x, w] = [argument(args, 0), argument(args, 1)]
    const window = windowOf(attributes)
    return [
      () => pipe(dy, convInputGrad(w, x.shape.slice(2), window)),
      () => pipe(dy, convWeightGrad(recompute(x), w.shape.slice(2), window)),
    ]
  },
  convInputGrad: ({ attributes, args, dy: dx }) => {
    const [y, w] = [argument(args, 0), argument(args, 1)]
    const window = windowOf(attributes)
    return [() => pipe(dx, conv2d(w, window)), () => pipe(y, convWeightGrad(dx, w.shape.slice(2), window))]
  },
  convWeightGrad: ({ attributes, args, dy: dw }) => {
    const [x, y] = [argument(args, 0), argument(args, 1)]
    const window = windowOf(attributes)
    return [() => pipe(y, convInputGrad(dw, x.shape.slice(2), window)), () => pipe(x, conv2d(dw, window))]
  },

  reshape: ({ args, dy }) => [() => pipe(dy, reshape(...argument(args, 0).shape))],
  transpose: ({ attributes: { permutation }, dy }) => [
    () => pipe(dy, transpose(...permutation.map((_, i) => permutation.indexOf(i)))),
  ],
  slice: ({ attributes: { start, size: extent }, args, dy }) => [
    () =>
      pipe(
        dy,
        pad(
          start,
          argument(args, 0).shape.map((d, i) => d - dim(start, i) - dim(extent, i)),
        ),
      ),
  ],
  pad: ({ attributes: { low }, args, dy }) => [() => pipe(dy, slice(low, argument(args, 0).shape))],
  concat: ({ attributes: { axis }, args, dy }) => {
    const lengths = args.map((a) => dim(a.shape, axis))
    return args.map(
      (_, i) => () =>
        part(
          dy,
          axis,
          lengths.slice(0, i).reduce((p, q) => p + q, 0),
          dim(lengths, i),
        ),
    )
  },
  broadcast: ({ args, dy }) => [() => pipe(dy, unbroadcast(argument(args, 0).shape))],
  gather: ({ args, dy }) => [() => pipe(dy, scatterAdd(argument(args, 1), dim(argument(args, 0).shape, 0))), null],
  scatterAdd: ({ args, dy }) => [null, () => pipe(dy, gather(argument(args, 0)))],
  upsampleNearest: ({ attributes: { factor }, dy }) => [() => pipe(dy, windowSums(factor))],
  /** Shared evenly between equal maxima. */
  maxPool: ({ attributes: { factor }, args, out, dy }) => {
    const spreadOut = upsampleNearest(dim(factor, 0), dim(factor, 1))
    const winners = pipe(argument(args, 0), equal(spreadOut(out)))
    const ways = pipe(winners, indicator, windowSums(factor))
    return [() => pipe(winners, select(spreadOut(pipe(dy, div(ways))), 0))]
  },

  groupNorm: groupNormRule,
  standardize: standardizeRule,
  groupRstd: groupRstdRule,
}
