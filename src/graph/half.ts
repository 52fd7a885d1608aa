/** Numbers of half precision, binary16 of IEEE 754-2008 (3.4): 11 significant bits, 2^-24 to 65504. */

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
const smallestNormal = -14
const largest = 65504

/**
 * The nearest number of half precision, the even one of two as near. Adding 2^52 and a half of them of the numbers'
 * spacing, and taking it away again, has the processor round to that spacing.
 */
export const roundToHalf = (x: number): number => {
  if (!(Math.abs(x) > 0) || !Number.isFinite(x)) return x
  const size = Math.abs(x)
  const spacing = 2 ** (Math.max(exponentOf(size), smallestNormal) - 10)
  const shift = 1.5 * 2 ** 52 * spacing
  const rounded = size > 2 * largest ? Number.POSITIVE_INFINITY : size + shift - shift
  const kept = rounded > largest ? Number.POSITIVE_INFINITY : rounded
  return x < 0 ? -kept : kept
}

/** The 16 bits of the nearest number of half precision. */
export const halfBits = (x: number): number => {
  if (Number.isNaN(x)) return 0x7e00
  const rounded = roundToHalf(x)
  const sign = rounded < 0 || Object.is(rounded, -0) ? 0x8000 : 0
  const size = Math.abs(rounded)
  if (size === 0) return sign
  if (!Number.isFinite(size)) return sign | 0x7c00
  const exponent = Math.max(exponentOf(size), smallestNormal)
  const steps = size * 2 ** (10 - exponent)
  return sign | (steps < 1024 ? steps : ((exponent + 15) << 10) | (steps - 1024))
}
