import type { OpOf } from '../../graph/ops.ts'
import type { Misfit } from '../../graph/shape-rules.ts'
import { size, strides } from '../../graph/types.ts'
import { E, type Either } from '../../prelude.ts'
import { dim, get, type Kernels, operand, place, positions, spread, take, total } from './dense.ts'

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((s, x, i) => s + x * dim(b, i), 0)

/** The computation over indices, once each is known to name one of the rows. */
export const indexing = <A>(
  rows: number,
  indices: Float64Array | Float32Array | Int32Array,
  compute: () => A,
): Either<Misfit, A> => {
  const outside = indices.findIndex((i) => !(i >= 0 && i < rows))
  return outside < 0
    ? E.right(compute())
    : E.left({ expected: `indices of at least 0 and below ${rows}`, got: `${indices[outside]} at position ${outside}` })
}

export const movement: Kernels<Exclude<OpOf<'movement'>, 'maxPool'>> = {
  reshape: total((_, xs) => operand(xs, 0).data),
  transpose: total(({ permutation }, xs, { shape }) => {
    const { type, data } = operand(xs, 0)
    const own = strides(type.shape)
    return take(
      data,
      positions(
        shape,
        permutation.map((p) => dim(own, p)),
      ),
    )
  }),
  slice: total(({ start }, xs, { shape }) => {
    const { type, data } = operand(xs, 0)
    const own = strides(type.shape)
    return take(data, positions(shape, own, dot(start, own)))
  }),
  pad: total(({ low }, xs, { shape }) => {
    const { type, data } = operand(xs, 0)
    const own = strides(shape)
    const out = new Float64Array(size(shape))
    place(out, positions(type.shape, own, dot(low, own)), data)
    return out
  }),
  concat: total(({ axis }, xs, { shape }) => {
    const own = strides(shape)
    const out = new Float64Array(size(shape))
    let start = 0
    for (const { type, data } of xs) {
      place(out, positions(type.shape, own, start * dim(own, axis)), data)
      start += dim(type.shape, axis)
    }
    return out
  }),
  broadcast: total((_, xs, { shape }) => spread(operand(xs, 0), shape)),
  gather: (_, xs, { shape }) => {
    const [table, indices] = [operand(xs, 0), operand(xs, 1)]
    const row = size(table.type.shape.slice(1))
    return indexing(dim(table.type.shape, 0), indices.data, () => {
      const out = new Float64Array(size(shape))
      indices.data.forEach((index, i) => {
        out.set(table.data.subarray(index * row, (index + 1) * row), i * row)
      })
      return out
    })
  },
  scatterAdd: ({ rows }, xs, { dtype, shape }) => {
    const [indices, updates] = [operand(xs, 0), operand(xs, 1)]
    const row = size(shape.slice(1))
    return indexing(rows, indices.data, () => {
      const out = new Float64Array(size(shape))
      updates.data.forEach((u, i) => {
        const at = get(indices.data, Math.floor(i / row)) * row + (i % row)
        out[at] = dtype === 'int32' ? (get(out, at) + u) | 0 : get(out, at) + u
      })
      return out
    })
  },
  /** y[n,c,i,j] = x[n,c,floor(i/f0),floor(j/f1)] */
  upsampleNearest: total(({ factor }, xs, { shape }) => {
    const { type, data } = operand(xs, 0)
    const own = strides(type.shape)
    const split = [...type.shape.slice(0, 2), dim(type.shape, 2), dim(factor, 0), dim(type.shape, 3), dim(factor, 1)]
    const steps = [dim(own, 0), dim(own, 1), dim(own, 2), 0, dim(own, 3), 0]
    return size(shape) === data.length ? data : take(data, positions(split, steps))
  }),
}
