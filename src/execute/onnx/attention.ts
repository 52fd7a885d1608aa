import { type Shape, sameShape, size } from '../../graph/types.ts'
import { isLowered, kernelsOf, type Lowered, operand, type Site, shapeOf } from './lowering.ts'
import { call, float, int, reshape, swapLast, type Value } from './value.ts'

/** A matrix at every leading index: [..., rows, columns]. */
interface Matrices {
  readonly value: Value
  readonly shape: Shape
}
const swapped = ({ value, shape }: Matrices): Matrices => ({
  value: swapLast(value, shape),
  shape: [...shape.slice(0, -2), shape.at(-1) ?? 1, shape.at(-2) ?? 1],
})
const matrices = (x: Lowered, transposed: boolean): Matrices => {
  const of = { value: x.value, shape: shapeOf(x) }
  return transposed ? swapped(of) : of
}

interface Attention {
  readonly q: Matrices
  readonly k: Matrices
  readonly v: Matrices
  /** Positions are columns of the result. */
  readonly columns: boolean
  readonly scores: Shape
}

/** softmax(q k^T) as a matrix that nothing else reads. */
const weightsOf = (x: Lowered): Pick<Attention, 'q' | 'k' | 'scores'> | undefined => {
  const [products] = x.operands
  if (!isLowered('softmax')(x) || x.uses > 1 || products === undefined) return undefined
  if (!isLowered('matmul')(products) || products.uses > 1) return undefined
  const [[a, b], { transposeA, transposeB }, scores] = [
    products.operands,
    products.node.attributes,
    shapeOf(products),
  ] as const
  return a === undefined || b === undefined || x.node.attributes.axis !== scores.length - 1
    ? undefined
    : { q: matrices(a, transposeA), k: matrices(b, !transposeB), scores }
}

/** softmax(q k^T) v, or (softmax(q k^T) v)^T as v^T softmax(q k^T)^T. */
const attentionIn = (site: Site<'matmul'>): Attention | undefined => {
  const [a, b] = [operand(site, 0), operand(site, 1)]
  const { transposeA, transposeB } = site.node.attributes
  const [rows, columns] = [transposeA ? undefined : weightsOf(a), transposeB ? weightsOf(b) : undefined]
  if (rows !== undefined) return { ...rows, v: matrices(b, transposeB), columns: false }
  return columns === undefined ? undefined : { ...columns, v: matrices(a, !transposeA), columns: true }
}

/**
 * Attention as `MultiHeadAttention` of ONNX Runtime, where all its scores would be many: whatever leads is a batch of single heads.
 * Its CPU kernel is that of FlashAttention (https://arxiv.org/abs/2205.14135) where scores are neither masked nor biased.
 */
export const attention = (site: Site<'matmul'>): Value | undefined => {
  const { type } = site.node
  if (site.target.mode !== 'sampling' || !kernelsOf(site).flashAttention || type.dtype !== 'float32') return undefined
  const found = attentionIn(site)
  if (found === undefined || size(found.scores) < site.target.costs.scores) return undefined
  const { q, k, v, columns, scores } = found
  const leading = scores.slice(0, -2)
  if (![q, k, v].every(({ shape }) => sameShape(shape.slice(0, -2), leading))) return undefined
  const rows = ({ value, shape }: Matrices): Value => reshape(value, [size(leading), ...shape.slice(-2)])
  const made = reshape(
    call('MultiHeadAttention', [rows(q), rows(k), rows(v)], { num_heads: int(1), scale: float(1) }, 'com.microsoft'),
    [...scores.slice(0, -1), v.shape.at(-1) ?? 1],
  )
  return columns ? swapLast(made, scores) : made
}
