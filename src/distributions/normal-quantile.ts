/** 2^32 as a literal: `**` is one of the functions whose last bits an engine may choose. */
const word = 4294967296

/**
 * ln(m / 2^33) of an integer `m` in [1, 2^32): m = 2^e (1 + f) with 1 + f near 1, then the series in s = f / (2 + f)
 * of fdlibm's `e_log.c` (Sun Microsystems, 1993), good to 1 ulp.
 */
const logOf33Bits = (m: number): number => {
  const floorLog = 31 - Math.clz32(m)
  const mantissa = m / ((1 << floorLog) >>> 0)
  const upper = mantissa > Math.SQRT2
  const exponent = floorLog - (upper ? 32 : 33)
  const f = (upper ? mantissa / 2 : mantissa) - 1
  const s = f / (2 + f)
  const z = s * s
  const w = z * z
  const even = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373))
  const odd = z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)))
  const halfSquare = 0.5 * f * f
  return (
    exponent * 0.6931471803691238 -
    (halfSquare - (s * (halfSquare + even + odd) + exponent * 1.9082149292705877e-10) - f)
  )
}

/**
 * The standard normal quantile of (w + 1/2) / 2^32 for a 32-bit word `w`: Wichura's algorithm AS 241 (PPND16, Applied
 * Statistics 37, 1988), relative error about 1e-16. Its third branch, beyond 1.4e-11, lies outside a word's reach
 * (1.2e-10, that is |x| <= 6.34).
 */
export const normalOfWord = (w: number): number => {
  const q = (w - 2147483647.5) / word
  if (q >= -0.425 && q <= 0.425) {
    const r = 0.180625 - q * q
    const numerator =
      ((((((2509.0809287301227 * r + 33430.57558358813) * r + 67265.7709270087) * r + 45921.95393154987) * r +
        13731.69376550946) *
        r +
        1971.5909503065513) *
        r +
        133.14166789178438) *
        r +
      3.3871328727963665
    const denominator =
      ((((((5226.495278852854 * r + 28729.085735721943) * r + 39307.89580009271) * r + 21213.794301586597) * r +
        5394.196021424751) *
        r +
        687.1870074920579) *
        r +
        42.31333070160091) *
        r +
      1
    return (q * numerator) / denominator
  }
  const tail = (q < 0 ? w : word - 1 - w) * 2 + 1
  const r = Math.sqrt(-logOf33Bits(tail)) - 1.6
  const numerator =
    ((((((0.0007745450142783414 * r + 0.022723844989269184) * r + 0.2417807251774506) * r + 1.2704582524523684) * r +
      3.6478483247632045) *
      r +
      5.769497221460691) *
      r +
      4.630337846156546) *
      r +
    1.4234371107496835
  const denominator =
    ((((((1.0507500716444169e-9 * r + 0.0005475938084995345) * r + 0.015198666563616457) * r + 0.14810397642748008) *
      r +
      0.6897673349851) *
      r +
      1.6763848301838038) *
      r +
      2.053191626637759) *
      r +
    1
  return q < 0 ? -numerator / denominator : numerator / denominator
}
