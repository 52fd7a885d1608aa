import { size } from '../../graph/types.ts'
import { binary, plus, times, unary } from './arithmetic.ts'
import { call, cast, constant, reshape, scalar, shapeOf, type Value } from './value.ts'

/**
 * Sine, cosine and exponential of arithmetic alone, good to float32's last places. WGSL asks of a device's own sine 11
 * bits, and of small angles only; of its exponential an error of 3 + 2|x| units in the last place.
 */

/** x minus whole multiples of a number that is given in parts, of which multiples up to 2^14 of the first are exact. */
const reduced = (x: Value, multiples: Value, parts: readonly number[]): Value =>
  parts.reduce((left, part) => binary('Sub', left, times(multiples, part)), x)
/** Horner's scheme, highest power first. */
const polynomial = (x: Value, [highest = 0, ...lower]: readonly number[]): Value =>
  lower.reduce((sum: Value, c) => plus(binary('Multiply', sum, x), c), scalar('float32', highest))
const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1))

/** Cephes, single precision. */
const pi = [3.140625, 9.675025939941406e-4, 1.509957990978376e-7] as const
/** Taylor's series of sin r / r in r^2, to r^13, whose remainder at pi/2 is below 1e-9. */
const sineSeries = [6, 5, 4, 3, 2, 1, 0].map((i) => (-1) ** i / factorial(2 * i + 1))
/** sin x = (-1)^k sin(x - k pi); the cosine is the sine half a pi on. */
const shiftedSine =
  (shift: 0 | 0.5) =>
  (x: Value): Value => {
    const k = unary('Floor', plus(times(x, 1 / Math.PI), 0.5 + shift))
    const r = reduced(x, plus(k, -shift), pi)
    const odd = binary('Sub', k, times(unary('Floor', times(k, 0.5)), 2))
    const series = polynomial(unary('Square', r), sineSeries)
    return binary('Multiply', binary('Multiply', series, r), plus(times(odd, -2), 1))
  }
export const sine = shiftedSine(0)
export const cosine = shiftedSine(0.5)

/** Beyond these the exponential is 0 or infinite. */
const [lowest, highest] = [-104, 89.5] as const
const ln2 = [0.693359375, -2.1219444005469057e-4] as const
const exponents = { from: -151, to: 130 } as const
const powers = constant(
  { dtype: 'float32', shape: [exponents.to - exponents.from + 1] },
  Array.from({ length: exponents.to - exponents.from + 1 }, (_, i) => 2 ** (i + exponents.from)),
)
/** Taylor's series to r^10, whose remainder at ln 2 is below 1e-9. */
const exponentialSeries = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0].map((i) => 1 / factorial(i))
/** e^x = 2^k e^(x - k ln 2), the powers of two from a table. */
export const exponential = (given: Value): Value => {
  const x = binary('Maximum', binary('Minimum', given, scalar('float32', highest)), scalar('float32', lowest))
  const k = unary('Floor', times(x, Math.LOG2E))
  const series = polynomial(reduced(x, k, ln2), exponentialSeries)
  const places = [size(shapeOf(x))]
  const index = reshape(cast(plus(k, -exponents.from), 'int32'), places)
  const power = call('GatherV2', [powers, index], { dtype: 'float32', shape: places }, { axis: 0, batchDims: 0 })
  return binary('Multiply', series, reshape(power, shapeOf(x)))
}
