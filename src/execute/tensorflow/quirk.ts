import type { Attribute } from '../tfjs/kernel.ts'
import { call, type Rewriting, shapeOf, slice } from '../tfjs/value.ts'
import { samePadding } from '../tfjs/window.ts'

/** Of height and width. */
const edgesOf = (pad: Attribute | undefined): readonly [number, number, number, number] => {
  const [, , top = 0, bottom = 0, left = 0, right = 0] =
    typeof pad === 'object' ? pad.flatMap((p) => (typeof p === 'number' ? [p] : [...p])) : []
  return [top, bottom, left, right]
}

/**
 * Since 2.18 TensorFlow's convolution by oneDNN is wrong, and writes beyond its result, for one input channel, several pictures, a
 * result one column wide and several rows high, and strides that are 1 down and more across. With equal strides it is right, so the
 * first column of that is taken. Smallest case: docs/decisions/0021-tensorflow.md.
 */
export const oneChannel: Rewriting = (of) => {
  const [x, filter] = of.inputs
  const { strides, pad, ...attributes } = of.attributes
  if (of.kernel !== 'Conv2D' || x === undefined || filter === undefined || typeof strides !== 'object') return of
  const [n = 0, h = 0, w = 0, c = 0] = shapeOf(x)
  const [kh = 0, kw = 0] = shapeOf(filter)
  const [, oh = 0, ow = 0, o = 0] = of.type.shape
  const [sh, sw] = strides
  if (!(c === 1 && n > 1 && oh > 1 && ow === 1 && sh === 1 && typeof sw === 'number' && sw > 1 && kw > 1 && w !== sw))
    return of
  const [top, bottom, left, right] =
    pad === 'same' ? [...samePadding(h, kh, sh), ...samePadding(w, kw, sw)] : edgesOf(pad)
  const wide = call(
    'Conv2D',
    [x, filter],
    { ...of.type, shape: [n, oh, left + w + right - kw + 1, o] },
    {
      ...attributes,
      strides: [1, 1],
      pad: [
        [0, 0],
        [top, bottom],
        [left, right],
        [0, 0],
      ],
    },
  )
  return slice(wide, [0, 0, 0, 0], of.type.shape)
}
