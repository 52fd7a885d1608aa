import type { OpOf } from '../../graph/ops.ts'
import type { Shape } from '../../graph/types.ts'
import { type Geometry, geometry } from '../geometry.ts'
import type { Attributes } from './kernel.ts'
import { type LoweringTable, operand, type Target } from './lowering.ts'
import { product } from './products.ts'
import { call, concat, dtypeOf, pad, reshape, shapeOf, slice, stridedSlice, type Value } from './value.ts'
import { channelsFirst, channelsLast, filterFirst, filterLast, paddingWord } from './window.ts'

const float = (...shape: Shape) => ({ dtype: 'float32', shape }) as const
const shared = ({ sh, sw }: Geometry): Attributes => ({
  strides: [sh, sw],
  dataFormat: 'NHWC',
  dilations: [1, 1],
})
const explicit = ({ top, left, bottom, right }: Geometry): Attributes[string] => [
  [0, 0],
  [top, bottom],
  [left, right],
  [0, 0],
]
/** The convolution of the input with its padding written out, so that it is `valid`. */
const padded = (g: Geometry): Geometry => ({
  ...g,
  h: g.h + g.top + g.bottom,
  w: g.w + g.left + g.right,
  top: 0,
  left: 0,
  bottom: 0,
  right: 0,
})
const padInput = (x: Value, { top, left, bottom, right }: Geometry): Value =>
  pad(x, [0, top, left, 0], [0, bottom, right, 0])

/** dy[n,oh,ow,o], filter[kh,kw,c,o] -> dx[n,h,w,c] */
const inputGradient = ({ paddings }: Target, dy: Value, filter: Value, w: Geometry): Value => {
  const word = paddings === 'explicit' ? (paddingWord(w) ?? explicit(w)) : paddingWord(w)
  const inner = word === undefined ? padded(w) : w
  const inputShape = [inner.n, inner.h, inner.w, inner.c]
  const dx = call('Conv2DBackpropInput', [dy, filter], float(...inputShape), {
    ...shared(w),
    pad: word ?? 'valid',
    inputShape,
  })
  return word === undefined ? slice(dx, [0, w.top, w.left, 0], [w.n, w.h, w.w, w.c]) : dx
}

type WeightGradient = (x: Value, dy: Value, w: Geometry) => Value
/** One product a tap of the kernel, of the input's positions that it meets and dy. */
const byTaps: WeightGradient = (x, dy, w) => {
  const { n, c, o, kh, kw, oh, ow, sh, sw } = w
  const wide = padInput(x, w)
  const rows = reshape(dy, [1, n * oh * ow, o])
  const taps = Array.from({ length: kh * kw }, (_, t) => {
    const [i, j] = [Math.floor(t / kw), t % kw]
    const met = stridedSlice(wide, [0, i, j, 0], [n, i + (oh - 1) * sh + 1, j + (ow - 1) * sw + 1, c], [1, sh, sw, 1])
    return product(reshape(met, [1, n * oh * ow, c]), rows, [1, c, o], { transposeA: true })
  })
  const [first, ...rest] = taps
  if (first === undefined) throw new Error('a kernel without taps')
  return reshape(concat(0, [first, ...rest]), [kh, kw, c, o])
}
const byKernel =
  ({ paddings }: Target): WeightGradient =>
  (x, dy, w) => {
    const word = paddings === 'explicit' ? (paddingWord(w) ?? explicit(w)) : paddingWord(w)
    const filterShape = [w.kh, w.kw, w.c, w.o]
    return call('Conv2DBackpropFilter', [word === undefined ? padInput(x, w) : x, dy], float(...filterShape), {
      ...shared(w),
      pad: word ?? 'valid',
      filterShape,
    })
  }
/** x[n,h,w,c], dy[n,oh,ow,o] -> [kh,kw,c,o] */
const weightGradient = (target: Target): WeightGradient =>
  target.has('Conv2DBackpropFilter') ? byKernel(target) : byTaps

type Convolution = Pick<LoweringTable, OpOf<'convolution'>>
export const convolutionLowerings: Convolution = {
  conv2d: (site) => {
    const [x, weight] = [operand(site, 0), operand(site, 1)]
    const w = geometry(shapeOf(x), shapeOf(weight), site.node.type.shape, site.node.attributes)
    return channelsFirst(
      call(
        'Conv2D',
        [channelsLast(x), filterLast(weight)],
        { dtype: dtypeOf(x), shape: [w.n, w.oh, w.ow, w.o] },
        {
          ...shared(w),
          pad: paddingWord(w) ?? explicit(w),
        },
      ),
    )
  },
  convInputGrad: (site) => {
    const [dy, weight] = [operand(site, 0), operand(site, 1)]
    const w = geometry(site.node.type.shape, shapeOf(weight), shapeOf(dy), site.node.attributes)
    return channelsFirst(inputGradient(site.target, channelsLast(dy), filterLast(weight), w))
  },
  convWeightGrad: (site) => {
    const [x, dy] = [operand(site, 0), operand(site, 1)]
    const w = geometry(shapeOf(x), site.node.type.shape, shapeOf(dy), site.node.attributes)
    return filterFirst(weightGradient(site.target)(channelsLast(x), channelsLast(dy), w))
  },
}
