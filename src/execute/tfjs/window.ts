import type { Attributes } from '../../graph/ops.ts'
import type { Shape } from '../../graph/types.ts'
import { transpose, type Value } from './value.ts'

export const channelsLast = (x: Value): Value => transpose(x, [0, 2, 3, 1])
export const channelsFirst = (x: Value): Value => transpose(x, [0, 3, 1, 2])
/** [O, C, h, w] -> [h, w, C, O], and back */
export const filterLast = (w: Value): Value => transpose(w, [2, 3, 1, 0])
export const filterFirst = (w: Value): Value => transpose(w, [3, 2, 0, 1])

/** A convolution as TensorFlow sees it: x[n, h, w, c], filter[kh, kw, c, o], y[n, oh, ow, o]. */
export interface Window {
  readonly n: number
  readonly c: number
  readonly h: number
  readonly w: number
  readonly o: number
  readonly kh: number
  readonly kw: number
  readonly oh: number
  readonly ow: number
  readonly stride: readonly [number, number]
  /** top, left, bottom, right */
  readonly edges: readonly [number, number, number, number]
}
/** From x[n,c,h,w], weight[o,c,kh,kw], y[n,o,oh,ow]. */
export const windowOf = (x: Shape, weight: Shape, y: Shape, { stride, padding }: Attributes['conv2d']): Window => {
  const [n = 0, c = 0, h = 0, w = 0] = x
  const [o = 0, , kh = 0, kw = 0] = weight
  const [, , oh = 0, ow = 0] = y
  const [sh = 1, sw = 1] = stride
  const [top = 0, left = 0, bottom = 0, right = 0] = padding
  return { n, c, h, w, o, kh, kw, oh, ow, stride: [sh, sw], edges: [top, left, bottom, right] }
}

const samePadding = (extent: number, kernel: number, stride: number): readonly [number, number] => {
  const whole = Math.max((Math.ceil(extent / stride) - 1) * stride + kernel - extent, 0)
  return [Math.floor(whole / 2), whole - Math.floor(whole / 2)]
}
/** TensorFlow's own word for a padding; undefined where it has none. tfjs-node knows gradients by these words only. */
export const paddingWord = ({ h, w, kh, kw, stride, edges }: Window): 'valid' | 'same' | undefined => {
  if (edges.every((e) => e === 0)) return 'valid'
  const [top, bottom] = samePadding(h, kh, stride[0])
  const [left, right] = samePadding(w, kw, stride[1])
  return [top, left, bottom, right].every((e, i) => e === edges[i]) ? 'same' : undefined
}
