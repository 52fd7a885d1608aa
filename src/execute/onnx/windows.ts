import type { Geometry } from '../geometry.ts'

export const isPointwise = ({ kh, kw, sh, sw, top, left, bottom, right }: Geometry): boolean =>
  [kh, kw, sh, sw].every((d) => d === 1) && [top, left, bottom, right].every((d) => d === 0)
export const hasUnitStride = ({ sh, sw }: Geometry): boolean => sh === 1 && sw === 1
/** Padding that a full correlation with the rotated kernel needs; negative where the convolution padded more. */
export const fullPadding = ({
  kh,
  kw,
  top,
  left,
  bottom,
  right,
}: Geometry): readonly [number, number, number, number] => [
  kh - 1 - top,
  kw - 1 - left,
  kh - 1 - bottom,
  kw - 1 - right,
]
export const isReversible = (g: Geometry): boolean => hasUnitStride(g) && fullPadding(g).every((d) => d >= 0)
