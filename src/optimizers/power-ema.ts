import { averageBy, type Ema } from './ema.ts'

/**
 * Averages of parameters by powers of time, of which others are made once training is over (Karras et al. 2024, "Analyzing and improving
 * the training dynamics of diffusion models", section 3 and appendix C).
 */

/** The standard deviation of the peak of t^gamma on [0, 1], by which such averages are named: equation 4. */
export const sigmaRelOf = (gamma: number): number => Math.sqrt(gamma + 1) / ((gamma + 2) * Math.sqrt(gamma + 3))
/** That of gamma 0, the mean over all steps; narrower peaks have larger powers. */
export const mostSigmaRel = sigmaRelOf(0)

/** The power of a relative width in (0, `mostSigmaRel`]. */
export const gammaOf = (sigmaRel: number): number => {
  let [low, high] = [0, 1 / sigmaRel ** 2]
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2
    if (sigmaRelOf(middle) > sigmaRel) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** The average whose shadow after step t weighs step s by about s^gamma: decay (1 - 1 / t)^(gamma + 1), equation 2. */
export const powerEma = (sigmaRel: number): Ema => {
  const gamma = gammaOf(sigmaRel)
  return averageBy((update) => 1 - (1 - 1 / update) ** (gamma + 1))
}

/** An average after so many steps. */
export interface PowerProfile {
  readonly step: number
  readonly gamma: number
}

/** The inner product of two averages' weights over time: algorithm 3. */
const product = (a: PowerProfile, b: PowerProfile): number =>
  ((a.gamma + 1) * (b.gamma + 1) * (a.step / b.step) ** (a.step < b.step ? b.gamma : -a.gamma)) /
  ((a.gamma + b.gamma + 1) * Math.max(a.step, b.step))

/** x of A x = b by elimination with the largest pivots. */
const solved = (a: readonly (readonly number[])[], b: readonly number[]): readonly number[] => {
  const n = b.length
  const rows = a.map((row, i) => Float64Array.from([...row, b[i] ?? 0]))
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0
  for (let k = 0; k < n; k++) {
    let pivot = k
    for (let i = k + 1; i < n; i++) if (Math.abs(at(i, k)) > Math.abs(at(pivot, k))) pivot = i
    const [upper, lower] = [rows[pivot], rows[k]]
    if (upper === undefined || lower === undefined) continue
    rows[k] = upper
    rows[pivot] = lower
    for (let i = k + 1; i < n; i++) {
      const factor = at(i, k) / at(k, k)
      rows[i] = Float64Array.from({ length: n + 1 }, (_, j) => at(i, j) - factor * at(k, j))
    }
  }
  const x = new Float64Array(n)
  for (let i = n - 1; i >= 0; i--) {
    let sum = at(i, n)
    for (let j = i + 1; j < n; j++) sum -= at(i, j) * (x[j] ?? 0)
    x[i] = sum / at(i, i)
  }
  return [...x]
}

/** How a third average is made of stored ones. */
export interface Synthesis {
  /** Of each stored average; they sum to about 1. */
  readonly weights: readonly number[]
  /** How far the sum's weights over time are from those that are wanted, relative to these. */
  readonly error: number
}

/** The sum of stored averages that is nearest to another one, in least squares over time: algorithm 3. */
export const postHocAverage = (stored: readonly PowerProfile[], wanted: PowerProfile): Synthesis => {
  const b = stored.map((s) => product(s, wanted))
  const weights = solved(
    stored.map((s) => stored.map((other) => product(s, other))),
    b,
  )
  const explained = weights.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0)
  return { weights, error: Math.sqrt(Math.max(0, 1 - explained / product(wanted, wanted))) }
}
