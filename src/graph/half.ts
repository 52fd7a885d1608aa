import type { Half } from './types.ts'

/** Numbers of 16 bits: binary16 of IEEE 754-2008 (3.4), and bfloat16, the upper half of single precision. */

/** The number that 16 bits stand for. */
export const fromHalfBits = (bits: number): number => {
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  const size =
    exponent === 0x1f
      ? fraction === 0
        ? Number.POSITIVE_INFINITY
        : Number.NaN
      : exponent === 0
        ? fraction * 2 ** -24
        : (1024 + fraction) * 2 ** (exponent - 25)
  return (bits & 0x8000) === 0 ? size : -size
}

const view = new DataView(new ArrayBuffer(8))
/** floor(log2 x) of a normal x > 0. */
const exponentOf = (x: number): number => {
  view.setFloat64(0, x)
  return (view.getUint16(0) >> 4) - 1023
}
/** Binary places behind the first, exponent of the least number that has them all, greatest number. */
const formats: {
  readonly [H in Half]: { readonly places: number; readonly lowest: number; readonly largest: number }
} = {
  float16: { places: 10, lowest: -14, largest: 65504 },
  bfloat16: { places: 7, lowest: -126, largest: (2 - 2 ** -7) * 2 ** 127 },
}
/** The greatest finite number of a dtype. */
export const largestOf = (dtype: Half): number => formats[dtype].largest

/**
 * The nearest number of a format, the even one of two as near. Adding 2^52 and a half of them of the numbers' spacing, and taking it
 * away again, has the processor round to that spacing.
 */
const rounding =
  ({ places, lowest, largest }: (typeof formats)[Half]) =>
  (x: number): number => {
    if (!(Math.abs(x) > 0) || !Number.isFinite(x)) return x
    const size = Math.abs(x)
    const spacing = 2 ** (Math.max(exponentOf(size), lowest) - places)
    const shift = 1.5 * 2 ** 52 * spacing
    const rounded = size > 2 * largest ? Number.POSITIVE_INFINITY : size + shift - shift
    const kept = rounded > largest ? Number.POSITIVE_INFINITY : rounded
    return x < 0 ? -kept : kept
  }
export const roundToHalf = rounding(formats.float16)
export const roundToBfloat = rounding(formats.bfloat16)
/** What a dtype makes of numbers; `float32` leaves what it is given, which the reference computes in double precision. */
export const roundings: { readonly [D in Half]: (x: number) => number } = {
  float16: roundToHalf,
  bfloat16: roundToBfloat,
}

/** The 16 bits of the nearest number of half precision. */
export const halfBits = (x: number): number => {
  if (Number.isNaN(x)) return 0x7e00
  const rounded = roundToHalf(x)
  const sign = rounded < 0 || Object.is(rounded, -0) ? 0x8000 : 0
  const size = Math.abs(rounded)
  if (size === 0) return sign
  if (!Number.isFinite(size)) return sign | 0x7c00
  const exponent = Math.max(exponentOf(size), formats.float16.lowest)
  const steps = size * 2 ** (10 - exponent)
  return sign | (steps < 1024 ? steps : ((exponent + 15) << 10) | (steps - 1024))
}

/** The bits of many numbers, each made of another's. A loop: `from` of typed arrays takes thirty times as long with a function. */
export const mapBits = <A extends Uint16Array | Uint32Array>(
  bits: Uint8Array | Uint16Array | Uint32Array,
  to: (bits: number) => number,
  into: A,
): A => {
  for (let i = 0; i < bits.length; i++) into[i] = to(bits[i] ?? 0)
  return into
}

/** The bits in single precision of the number that 16 bits stand for. */
export const halfToFloatBits = (half: number): number => {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13)
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13)
  if (fraction === 0) return sign
  const shift = Math.clz32(fraction) - 21
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)
}

/**
 * The 16 bits of bfloat16, the upper half of single precision, nearest to a number of that; the even one of two as near. A NaN stays
 * one.
 */
export const bfloatBits = (floatBits: number): number =>
  (floatBits & 0x7fffffff) > 0x7f800000
    ? (floatBits >>> 16) | 0x40
    : ((floatBits + 0x7fff + ((floatBits >>> 16) & 1)) >>> 16) & 0xffff
/** The 16 bits of the nearest bfloat16. */
export const bfloatBitsOf = (x: number): number => {
  view.setFloat32(0, roundToBfloat(x))
  return bfloatBits(view.getUint32(0))
}
export const bfloatToFloatBits = (bits: number): number => bits << 16

/** The 16 bits of half precision nearest to a number of single precision, which is given by its bits: `halfBits`, for many. */
export const floatToHalfBits = (floatBits: number): number => {
  const sign = (floatBits >>> 16) & 0x8000
  const size = floatBits & 0x7fffffff
  if (size > 0x7f800000) return 0x7e00
  if (size >= 0x477ff000) return sign | 0x7c00
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13)
  if (size <= 0x33000000) return sign
  const shift = 126 - (size >>> 23)
  const steps = (size & 0x7fffff) | 0x800000
  return sign | ((steps + (1 << (shift - 1)) - 1 + ((steps >>> shift) & 1)) >>> shift)
}
