import type { Attributes, OpOf } from '../../../graph/ops.ts'
import type { Shape } from '../../../graph/types.ts'
import type { Call } from '../calls.ts'
import { call, filledWith, float, int, type OnnxNode, reshape, result, type Value } from '../value.ts'
import { asOften, type EmitTable, kernelsOf, operandShape, valueAt } from './emit.ts'

/**
 * LayerNormalization over [N groups, rest]: results are the normalised values, means and inverse deviations.
 * groupNorm, standardize and groupRstd of one x write the same node, so it runs once.
 */
const normalised = (x: Value, shape: Shape, { groups, eps }: Attributes['standardize']): OnnxNode => {
  const [n = 1, ...rest] = shape
  const width = rest.reduce((a, b) => a * b, 1) / groups
  return {
    op: 'LayerNormalization',
    domain: '',
    attributes: { axis: int(1), epsilon: float(eps) },
    inputs: [reshape(x, [n * groups, width]), filledWith('float32', [width], 1)],
  }
}

type Scaling = (x: Value, shape: Shape, weight: Value, bias: Value, of: Pick<Call, 'anew'>) => Value
const scaled: Scaling = (x, shape, weight, bias, of) => {
  const perChannel = shape.map((d, i) => (i === 1 ? d : 1))
  return asOften(
    of,
    call('Add', [asOften(of, call('Mul', [x, reshape(weight, perChannel)])), reshape(bias, perChannel)]),
  )
}
/** By statistics of mean 0 and variance 1. */
const scaledInOnePass: Scaling = (x, [, channels = 0], weight, bias, of) =>
  asOften(
    of,
    call('BatchNormalization', [x, weight, bias, ...[0, 1].map((each) => filledWith('float32', [channels], each))], {
      epsilon: float(0),
    }),
  )

type Normalisation = Pick<EmitTable, OpOf<'normalisation'>>
export const normalisationEmits: Normalisation = {
  groupNorm: (site) => {
    const { dtype, shape } = site.call.type
    const standard = reshape(result(normalised(valueAt(site, 0), shape, site.call.attributes), 0), shape)
    const [weight, bias] = [valueAt(site, 1), valueAt(site, 2)]
    const scale = kernelsOf(site).scalesChannels && dtype === 'float32' ? scaledInOnePass : scaled
    return scale(standard, shape, weight, bias, site.call)
  },
  standardize: (site) => {
    const { shape } = site.call.type
    return reshape(result(normalised(valueAt(site, 0), shape, site.call.attributes), 0), shape)
  },
  groupRstd: (site) =>
    reshape(result(normalised(valueAt(site, 0), operandShape(site, 0), site.call.attributes), 2), site.call.type.shape),
}
