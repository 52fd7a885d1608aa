/**
 * The error function, to double precision. Near 0 by the series of positive terms
 * erf x = 2/sqrt(pi) e^(-x^2) sum_n 2^n x^(2n+1) / (1 3 5 ... (2n+1)); beyond 2 by Laplace's continued fraction
 * for 1 - erf x (Abramowitz & Stegun 7.1.6, 7.1.14).
 */
export const erf = (x: number): number => (Math.abs(x) < 2 ? series(x) : Math.sign(x) * (1 - complement(Math.abs(x))))

const series = (x: number): number => {
  let term = x
  let sum = x
  for (let odd = 3; Math.abs(term) > 1e-17 * Math.abs(sum); odd += 2) {
    term *= (2 * x * x) / odd
    sum += term
  }
  return ((2 * sum) / Math.sqrt(Math.PI)) * Math.exp(-x * x)
}

/** e^(-x^2)/sqrt(pi) * 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + ...)))) */
const complement = (x: number): number => {
  let fraction = 0
  for (let n = 100; n >= 1; n--) fraction = n / 2 / (x + fraction)
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction)
}
