import { InvalidArgumentError } from 'commander'
import { mostSigmaRel } from '../optimizers/power-ema.ts'

/** Parsers of option values; commander shows what they refuse. */

const numberFrom =
  (accepts: (n: number) => boolean, expected: string) =>
  (text: string): number => {
    const n = text.trim() === '' ? Number.NaN : Number(text)
    if (!accepts(n)) throw new InvalidArgumentError(`Expected ${expected}.`)
    return n
  }

export const count = numberFrom((n) => Number.isSafeInteger(n) && n >= 1, 'a whole number of at least 1')
/** Of a bound: its first, and one for the others. */
export const timesteps = numberFrom((n) => Number.isSafeInteger(n) && n >= 2, 'a whole number of at least 2')
export const natural = numberFrom((n) => Number.isSafeInteger(n) && n >= 0, 'a whole number of at least 0')
export const notNegative = numberFrom((n) => Number.isFinite(n) && n >= 0, 'a number of at least 0')
export const share = numberFrom((n) => n >= 0 && n <= 1, 'a number from 0 to 1')
export const width = numberFrom(
  (n) => n >= 0.01 && n <= mostSigmaRel,
  `a number from 0.01 to ${mostSigmaRel.toFixed(3)}`,
)
