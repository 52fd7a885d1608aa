import type { Geometry } from '../geometry.ts'
import { inverse, orders } from '../layout.ts'
import { transpose, type Value } from './value.ts'

export const channelsLast = (x: Value): Value => transpose(x, orders.nhwc)
export const channelsFirst = (x: Value): Value => transpose(x, inverse(orders.nhwc))
/** [O, C, h, w] -> [h, w, C, O], and back */
export const filterLast = (w: Value): Value => transpose(w, orders.hwio)
export const filterFirst = (w: Value): Value => transpose(w, inverse(orders.hwio))

export const samePadding = (extent: number, kernel: number, stride: number): readonly [number, number] => {
  const whole = Math.max((Math.ceil(extent / stride) - 1) * stride + kernel - extent, 0)
  return [Math.floor(whole / 2), whole - Math.floor(whole / 2)]
}
/** TensorFlow's own word for a padding; undefined where it has none. tfjs-node knows gradients by these words only. */
export const paddingWord = (g: Geometry): 'valid' | 'same' | undefined => {
  const edges = [g.top, g.bottom, g.left, g.right]
  if (edges.every((e) => e === 0)) return 'valid'
  const same = [...samePadding(g.h, g.kh, g.sh), ...samePadding(g.w, g.kw, g.sw)]
  return edges.every((e, i) => e === same[i]) ? 'same' : undefined
}
