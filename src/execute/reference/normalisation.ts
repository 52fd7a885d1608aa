import type { Attributes, OpOf } from '../../graph/ops.ts'
import { size } from '../../graph/types.ts'
import { type Dense, dim, get, type Kernels, operand, total } from './dense.ts'

interface Group {
  readonly mean: number
  readonly rstd: number
}
/** Mean and 1 / sqrt(var + eps) of each group; groups of consecutive channels lie one after another. */
const statistics = ({ type, data }: Dense, { groups, eps }: Attributes['groupNorm']): readonly Group[] => {
  const length = size(type.shape.slice(1)) / groups
  return Array.from({ length: dim(type.shape, 0) * groups }, (_, g) => {
    const group = data.subarray(g * length, (g + 1) * length)
    const mean = group.reduce((s, x) => s + x, 0) / length
    const variance = group.reduce((s, x) => s + (x - mean) ** 2, 0) / length
    return { mean, rstd: 1 / Math.sqrt(variance + eps) }
  })
}
const standardized = (x: Dense, attributes: Attributes['groupNorm']): Float64Array => {
  const groups = statistics(x, attributes)
  const length = x.data.length / groups.length
  return x.data.map((v, i) => {
    const group = groups[Math.floor(i / length)]
    return group === undefined ? Number.NaN : (v - group.mean) * group.rstd
  })
}

export const normalisation: Kernels<OpOf<'normalisation'>> = {
  groupNorm: total((attributes, xs) => {
    const [x, weight, bias] = [operand(xs, 0), operand(xs, 1), operand(xs, 2)]
    const [channels, perChannel] = [dim(x.type.shape, 1), size(x.type.shape.slice(2))]
    return standardized(x, attributes).map((v, i) => {
      const c = Math.floor(i / perChannel) % channels
      return v * get(weight.data, c) + get(bias.data, c)
    })
  }),
  standardize: total((attributes, xs) => standardized(operand(xs, 0), attributes)),
  groupRstd: total((attributes, xs) => Float64Array.from(statistics(operand(xs, 0), attributes), (g) => g.rstd)),
}
