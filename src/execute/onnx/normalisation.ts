import type { Attributes } from '../../graph/ops.ts'
import type { Shape } from '../../graph/types.ts'
import { kernelsOf, type LoweringTable, operand, shapeOf, valueAt } from './lowering.ts'
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

const scaled = (x: Value, shape: Shape, weight: Value, bias: Value): Value => {
  const perChannel = shape.map((d, i) => (i === 1 ? d : 1))
  return call('Add', [call('Mul', [x, reshape(weight, perChannel)]), reshape(bias, perChannel)])
}
/** By statistics of mean 0 and variance 1. */
const scaledInOnePass = (x: Value, [, channels = 0]: Shape, weight: Value, bias: Value): Value =>
  call('BatchNormalization', [x, weight, bias, ...[0, 1].map((each) => filledWith('float32', [channels], each))], {
    epsilon: float(0),
  })

type Normalisation = Pick<LoweringTable, 'groupNorm' | 'standardize' | 'groupRstd'>
export const normalisationLowerings: Normalisation = {
  groupNorm: (site) => {
    const { dtype, shape } = site.node.type
    const standard = reshape(result(normalised(valueAt(site, 0), shape, site.node.attributes), 0), shape)
    const [weight, bias] = [valueAt(site, 1), valueAt(site, 2)]
    return kernelsOf(site).scalesChannels && dtype === 'float32'
      ? scaledInOnePass(standard, shape, weight, bias)
      : scaled(standard, shape, weight, bias)
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
