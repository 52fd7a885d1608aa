import type { Attributes } from '../../graph/ops.ts'
import type { Shape } from '../../graph/types.ts'
import { type LoweringTable, operand, shapeOf, valueAt } from './lowering.ts'
import { type Call, call, filledWith, float, int, reshape, result, type Value } from './value.ts'

/**
 * LayerNormalization over [N groups, rest]: results are the normalised values, means and inverse deviations.
 * groupNorm, standardize and groupRstd of one x write the same call, so it runs once.
 */
const normalised = (x: Value, shape: Shape, { groups, eps }: Attributes['standardize']): Call => {
  const [n = 1, ...rest] = shape
  const width = rest.reduce((a, b) => a * b, 1) / groups
  return {
    op: 'LayerNormalization',
    domain: '',
    attributes: { axis: int(1), epsilon: float(eps) },
    inputs: [reshape(x, [n * groups, width]), filledWith('float32', [width], 1)],
  }
}

type Normalisation = Pick<LoweringTable, 'groupNorm' | 'standardize' | 'groupRstd'>
export const normalisationLowerings: Normalisation = {
  groupNorm: (site) => {
    const { shape } = site.node.type
    const perChannel = shape.map((d, i) => (i === 1 ? d : 1))
    const standard = reshape(result(normalised(valueAt(site, 0), shape, site.node.attributes), 0), shape)
    const scaled = call('Mul', [standard, reshape(valueAt(site, 1), perChannel)])
    return call('Add', [scaled, reshape(valueAt(site, 2), perChannel)])
  },
  standardize: (site) => {
    const { shape } = site.node.type
    return reshape(result(normalised(valueAt(site, 0), shape, site.node.attributes), 0), shape)
  },
  groupRstd: (site) =>
    reshape(
      result(normalised(valueAt(site, 0), shapeOf(operand(site, 0)), site.node.attributes), 2),
      site.node.type.shape,
    ),
}
