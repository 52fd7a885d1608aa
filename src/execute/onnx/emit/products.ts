import type { Attributes, OpOf } from '../../../graph/ops.ts'
import { type Shape, size } from '../../../graph/types.ts'
import { type Algorithms, algorithmOf, operand } from '../calls.ts'
import { kernels, type Lowered } from '../devices.ts'
import { call, cast, float, floats, int, int64s, reduceSum, reshape, scalar, swapLast, type Value } from '../value.ts'
import { type Emit, type EmitTable, kernelsOf, operandShape, type Site, valueAt } from './emit.ts'

/** a b over the last two axes; ONNX Runtime's WebGPU provider has no FusedMatMul. */
export const product = (
  device: Lowered,
  [a, aShape]: readonly [Value, Shape],
  [b, bShape]: readonly [Value, Shape],
  { transposeA = false, transposeB = false }: Partial<Attributes['matmul']>,
): Value =>
  !transposeA && !transposeB
    ? call('MatMul', [a, b])
    : kernels[device].fusedMatMul
      ? call(
          'FusedMatMul',
          [a, b],
          { transA: int(transposeA ? 1 : 0), transB: int(transposeB ? 1 : 0) },
          'com.microsoft',
        )
      : call('MatMul', [transposeA ? swapLast(a, aShape) : a, transposeB ? swapLast(b, bShape) : b])

type Extremum = 'Max' | 'Min'
/**
 * The index of the first greatest or least element. ONNX Runtime's own is of 64 bits, which its WebGPU provider cannot
 * narrow: there it is the least index that holds the extremum, the last one where a row is not a number.
 */
const argument = (which: Extremum, site: Site<'argMax' | 'argMin'>): Value => {
  const [x, { axis }] = [valueAt(site, 0), site.call.attributes]
  if (kernelsOf(site).arguments) return cast(call(`Arg${which}`, [x], { axis: int(axis), keepdims: int(0) }), 'int32')
  const { dtype, shape } = operand(site.call, 0).type
  const length = shape[axis] ?? 1
  const value = dtype === 'bool' ? cast(x, 'int32') : x
  const best = call(`Reduce${which}`, [value, int64s([axis])], { keepdims: int(1) })
  const index = floats(
    shape.map((d, i) => (i === axis ? d : 1)),
    Array.from({ length }, (_, i) => i),
  )
  const holds = call('Where', [call('Equal', [value, best]), index, scalar('float32', length - 1)])
  return cast(call('ReduceMin', [holds, int64s([axis])], { keepdims: int(0) }), 'int32')
}

/** A matrix at every leading index: [..., rows, columns]. */
type Matrices = readonly [value: Value, shape: Shape]
const swapped = ([value, shape]: Matrices): Matrices => [
  swapLast(value, shape),
  [...shape.slice(0, -2), shape.at(-1) ?? 1, shape.at(-2) ?? 1],
]
/** Queries, keys and values as rows of [positions, channels], as far as their products say what is which. */
const attended = (site: Site<'attention'>) => {
  const { scores, result, columns } = site.call.attributes
  const given = (i: number, isSwapped: boolean): Matrices => {
    const own: Matrices = [valueAt(site, i), operandShape(site, i)]
    return isSwapped ? swapped(own) : own
  }
  const isSwapped = columns ? !result.transposeA : result.transposeB
  return { q: given(0, scores.transposeA), k: given(1, !scores.transposeB), v: given(2, isSwapped) }
}

/** All scores, their softmax, and its product. */
const threeOps: Emit<'attention'> = (site) => {
  const { scores, result, columns } = site.call.attributes
  const { device } = site.target
  const [q, k, v]: readonly Matrices[] = [0, 1, 2].map((i): Matrices => [valueAt(site, i), operandShape(site, i)])
  if (q === undefined || k === undefined || v === undefined) throw new Error('an attention without values')
  const [queries, keys] = [attended(site).q[1].at(-2) ?? 1, attended(site).k[1].at(-2) ?? 1]
  const shape = [...q[1].slice(0, -2), queries, keys]
  const weights: Matrices = [call('Softmax', [product(device, q, k, scores)], { axis: int(shape.length - 1) }), shape]
  return columns ? product(device, v, weights, result) : product(device, weights, v, result)
}
/**
 * `MultiHeadAttention` of ONNX Runtime: whatever leads is a batch of single heads. Its CPU kernel is that of FlashAttention
 * (https://arxiv.org/abs/2205.14135) where scores are neither masked nor biased, and has a block of them at a time.
 */
const oneOp: Emit<'attention'> = (site) => {
  const { q, k, v } = attended(site)
  const leading = q[1].slice(0, -2)
  const rows = ([value, shape]: Matrices): Value => reshape(value, [size(leading), ...shape.slice(-2)])
  const shape = [...q[1].slice(0, -1), v[1].at(-1) ?? 1]
  const made = reshape(
    call('MultiHeadAttention', [rows(q), rows(k), rows(v)], { num_heads: int(1), scale: float(1) }, 'com.microsoft'),
    shape,
  )
  return site.call.attributes.columns ? swapLast(made, shape) : made
}
const attentions: { readonly [A in Algorithms['attention']]: Emit<'attention'> } = { whole: threeOps, streamed: oneOp }

type Products = Pick<EmitTable, OpOf<'reduction' | 'product'> | 'attention'>
export const productEmits: Products = {
  sum: (site) => reduceSum(valueAt(site, 0), site.call.attributes.axes, site.call.attributes.keepDims),
  reduceMax: (site) => {
    const { axes, keepDims } = site.call.attributes
    return axes.length === 0
      ? valueAt(site, 0)
      : call('ReduceMax', [valueAt(site, 0), int64s(axes)], { keepdims: int(keepDims ? 1 : 0) })
  },
  argMax: (site) => argument('Max', site),
  argMin: (site) => argument('Min', site),
  softmax: (site) => call('Softmax', [valueAt(site, 0)], { axis: int(site.call.attributes.axis) }),
  matmul: (site) =>
    product(
      site.target.device,
      [valueAt(site, 0), operandShape(site, 0)],
      [valueAt(site, 1), operandShape(site, 1)],
      site.call.attributes,
    ),
  attention: (site) => attentions[algorithmOf(site.call)](site),
}
