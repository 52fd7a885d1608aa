import type { Attributes } from '../graph/ops.ts'
import type { Shape } from '../graph/types.ts'

/** Everything that decides how a convolution is lowered: x[n,c,h,w], weight[o,c,kh,kw], y[n,o,oh,ow]. */
export interface Geometry {
  readonly n: number
  readonly c: number
  readonly h: number
  readonly w: number
  readonly o: number
  readonly kh: number
  readonly kw: number
  readonly oh: number
  readonly ow: number
  readonly sh: number
  readonly sw: number
  readonly top: number
  readonly left: number
  readonly bottom: number
  readonly right: number
}
export const geometry = (x: Shape, weight: Shape, y: Shape, { stride, padding }: Attributes['conv2d']): Geometry => {
  const [n = 0, c = 0, h = 0, w = 0] = x
  const [o = 0, , kh = 0, kw = 0] = weight
  const [, , oh = 0, ow = 0] = y
  const [sh = 1, sw = 1] = stride
  const [top = 0, left = 0, bottom = 0, right = 0] = padding
  return { n, c, h, w, o, kh, kw, oh, ow, sh, sw, top, left, bottom, right }
}
