import type { OpOf } from '../../../graph/ops.ts'
import type { DType } from '../../../graph/types.ts'
import type { Geometry } from '../../geometry.ts'
import { type Algorithms, algorithmOf } from '../calls.ts'
import { geometryOf } from '../choose.ts'
import type { Target } from '../target.ts'
import { type Attributes, call, concat, filledWith, ints, text, type Value } from '../value.ts'
import { fullPadding } from '../windows.ts'
import { nchwc } from './blocks.ts'
import { type Emit, type EmitTable, type Site, valueAt } from './emit.ts'
import { minimalConvolution, minimalInputGradient } from './minimal.ts'
import { weightGradients } from './weight-gradient.ts'

type Convolve = (values: readonly Value[], g: Geometry, site: Site<'conv2d'>) => Value
const window = ({ sh, sw, top, left, bottom, right }: Geometry): Attributes => ({
  strides: ints([sh, sw]),
  pads: ints([top, left, bottom, right]),
})
const rectified = (y: Value, { call: of }: Site<'conv2d'>): Value =>
  of.attributes.rectified === true ? call('Relu', [y]) : y

const directly: Convolve = (values, g, site) => rectified(call('Conv', values, window(g)), site)
/** Not by `Pad`, which the runtime would put back into `Conv`. */
const padded = (x: Value, { n, c, h, w, bottom, right }: Geometry, dtype: DType): Value => {
  const taller = bottom === 0 ? x : concat(2, [x, filledWith(dtype, [n, c, bottom, w], 0)])
  return right === 0 ? taller : concat(3, [taller, filledWith(dtype, [n, c, h + bottom, right], 0)])
}
const convolutions: { readonly [A in Algorithms['conv2d']]: Convolve } = {
  direct: directly,
  widened: (values, g, site) =>
    directly(values.with(0, padded(valueAt(site, 0), g, site.call.type.dtype)), { ...g, bottom: 0, right: 0 }, site),
  blocked: (values, g, { call: of }) =>
    call(
      'Conv',
      values,
      { ...window(g), ...(of.attributes.rectified === true ? { activation: text('Relu') } : {}) },
      nchwc,
    ),
  minimal: (values, g, site) => rectified(minimalConvolution(values, g, site.target), site),
}

type InputGradient = (dy: Value, weight: Value, g: Geometry, target: Target) => Value
/** What leads back is the full convolution of dy. */
const back = (g: Geometry): Attributes => ({ strides: ints([1, 1]), pads: ints(fullPadding(g)) })
const inputGradients: { readonly [A in Algorithms['convInputGrad']]: InputGradient } = {
  rotated: (dy, weight, g) => call('Conv', [dy, weight], back(g)),
  blocked: (dy, weight, g) => call('Conv', [dy, weight], back(g), nchwc),
  minimal: minimalInputGradient,
  /** `output_padding` gives back the rows that a stride did not reach. */
  transposed: (dy, weight, g) =>
    call('ConvTranspose', [dy, weight], {
      ...window(g),
      output_padding: ints([
        g.h + g.top + g.bottom - g.kh - g.sh * (g.oh - 1),
        g.w + g.left + g.right - g.kw - g.sw * (g.ow - 1),
      ]),
    }),
}

const conv2d: Emit<'conv2d'> = (site) => convolutions[algorithmOf(site.call)](site.values, geometryOf(site.call), site)
const convInputGrad: Emit<'convInputGrad'> = (site) =>
  inputGradients[algorithmOf(site.call)](valueAt(site, 0), valueAt(site, 1), geometryOf(site.call), site.target)
const convWeightGrad: Emit<'convWeightGrad'> = (site) =>
  weightGradients[algorithmOf(site.call)](valueAt(site, 0), valueAt(site, 1), geometryOf(site.call), site.target)

export const convolutionEmits: Pick<EmitTable, OpOf<'convolution'>> = {
  conv2d,
  convInputGrad,
  convWeightGrad,
}
