import type { Attributes, OpOf } from '../../graph/ops.ts'
import { size } from '../../graph/types.ts'
import { binary, over, plus, unary } from './arithmetic.ts'
import { type LoweringTable, operand } from './lowering.ts'
import { reshape, shapeOf, sum, type Value } from './value.ts'

interface Normalised {
  /** x - mean, [N, G, C/G, positions] */
  readonly centred: Value
  /** 1 / sqrt(var + eps), [N, G, 1, 1] */
  readonly rstd: Value
}
/** Positions are summed before channels, so that the second sum is small. */
const groupMean = (x: Value): Value => over(sum(sum(x, [3]), [2]), size(shapeOf(x).slice(2)))

const normalised = (x: Value, { groups, eps }: Attributes['standardize']): Normalised => {
  const [n = 0, c = 0, ...rest] = shapeOf(x)
  const grouped = reshape(x, [n, groups, c / groups, size(rest)])
  const centred = binary('Sub', grouped, groupMean(grouped))
  return { centred, rstd: unary('Rsqrt', plus(groupMean(unary('Square', centred)), eps)) }
}
const standardised = (x: Value, attributes: Attributes['standardize']): Value => {
  const { centred, rstd } = normalised(x, attributes)
  return reshape(binary('Multiply', centred, rstd), shapeOf(x))
}

type Normalisation = Pick<LoweringTable, OpOf<'normalisation'>>
export const normalisationLowerings: Normalisation = {
  groupNorm: (site) => {
    const perChannel = site.node.type.shape.map((d, i) => (i === 1 ? d : 1))
    const standard = standardised(operand(site, 0), site.node.attributes)
    const scaled = binary('Multiply', standard, reshape(operand(site, 1), perChannel))
    return binary('Add', scaled, reshape(operand(site, 2), perChannel))
  },
  standardize: (site) => standardised(operand(site, 0), site.node.attributes),
  groupRstd: (site) => reshape(normalised(operand(site, 0), site.node.attributes).rstd, site.node.type.shape),
}
