/** log Gamma(x) for x > 0, to about 15 digits (Lanczos 1964, g = 7, n = 9). */
const logGamma = (x: number): number => {
  const coefficients = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ]
  const base = x + 6.5
  const series = coefficients.reduce((sum, c, i) => sum + (i === 0 ? c : c / (x + i - 1)), 0)
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(base) - base + Math.log(series)
}

/** The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz' method. */
const fraction = (x: number, a: number, b: number): number => {
  const least = 1e-300
  let c = 1
  let d = 1 / Math.max(1 - ((a + b) * x) / (a + 1), least)
  let result = d
  for (let m = 1; m < 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    for (const term of [even, odd]) {
      d = 1 / (1 + term * d || least)
      c = 1 + term / c || least
      result *= c * d
    }
    if (Math.abs(c * d - 1) < 1e-16) break
  }
  return result
}

/** The share of the beta distribution's mass below x: the regularised incomplete beta function. */
export const betaCumulative = (x: number, a: number, b: number): number => {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x))
  return x < (a + 1) / (a + b + 2) ? (front * fraction(x, a, b)) / a : 1 - (front * fraction(1 - x, b, a)) / b
}

/**
 * Below which number a share p of the beta distribution's mass lies, for p in [0, 1].
 *
 * ```ts
 * betaQuantile(0.5, 0.6, 0.6) // 0.5
 * ```
 */
export const betaQuantile = (p: number, a: number, b: number): number => {
  let [low, high] = [0, 1]
  for (let i = 0; i < 200 && high - low > Number.EPSILON * high; i++) {
    const middle = (low + high) / 2
    if (betaCumulative(middle, a, b) < p) low = middle
    else high = middle
  }
  return p <= 0 ? 0 : p >= 1 ? 1 : (low + high) / 2
}
