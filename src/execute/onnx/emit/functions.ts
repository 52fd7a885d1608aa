import { call, cast, floats, scalar, type Value } from '../value.ts'
import { type Emit, kernelsOf, valueAt } from './emit.ts'

const number = (x: number): Value => scalar('float32', x)
const add = (a: Value, b: Value): Value => call('Add', [a, b])
const sub = (a: Value, b: Value): Value => call('Sub', [a, b])
const mul = (a: Value, b: Value): Value => call('Mul', [a, b])
const floor = (x: Value): Value => call('Floor', [x])
const scaled = (x: Value, by: number): Value => mul(x, number(by))
/** c0 + c1 x + c2 x^2 + ... */
const polynomial = (x: Value, [constant = 0, ...rest]: readonly number[]): Value =>
  rest.length === 0 ? number(constant) : add(number(constant), mul(x, polynomial(x, rest)))

/** pi/2 in three parts; the first two are short, so that their products with up to 2^13 quarter turns are exact. */
const quarterTurn = [1.5703125, 4.837512969970703e-4, 7.549789954891882e-8]

/**
 * sin(x + turns pi/2) in float32 to an error of 1e-7, for |x| up to 12,000: Cody and Waite's reduction to [-pi/4, pi/4] and
 * the polynomials of Cephes' sinf and cosf (https://www.netlib.org/cephes/). WGSL asks of its own sine an error of 2^-11
 * within a half-turn and nothing outside: not enough for timesteps.
 */
const sineOf = (x: Value, turns: number): Value => {
  const quarters = floor(add(scaled(x, 2 / Math.PI), number(0.5)))
  const reduced = quarterTurn.reduce((r, part) => sub(r, scaled(quarters, part)), x)
  const square = mul(reduced, reduced)
  const sine = add(
    reduced,
    mul(mul(reduced, square), polynomial(square, [-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4])),
  )
  const cosine = add(
    sub(number(1), scaled(square, 0.5)),
    mul(mul(square, square), polynomial(square, [4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5])),
  )
  const shifted = turns === 0 ? quarters : add(quarters, number(turns))
  const pairs = floor(scaled(shifted, 0.5))
  const odd = sub(shifted, scaled(pairs, 2))
  const negative = sub(pairs, scaled(floor(scaled(pairs, 0.5)), 2))
  const size = call('Where', [cast(odd, 'bool'), cosine, sine])
  return call('Where', [cast(negative, 'bool'), call('Neg', [size]), size])
}

const exactOnCpu =
  (op: 'Sin' | 'Cos', turns: number): Emit<'sin' | 'cos'> =>
  (site) =>
    kernelsOf(site).preciseAngles ? call(op, [valueAt(site, 0)]) : sineOf(valueAt(site, 0), turns)
export const sin = exactOnCpu('Sin', 0)
export const cos = exactOnCpu('Cos', 1)

/** Beyond these the exponential is 0 or infinite. */
const [lowest, highest] = [-104, 89.5] as const
const ln2 = [0.693359375, -2.1219444005469057e-4] as const
/** 2^k for these k, of which those beyond float32 are 0 and infinity. */
const exponents = { from: -151, to: 130 } as const
const powers = floats(
  [exponents.to - exponents.from + 1],
  Array.from({ length: exponents.to - exponents.from + 1 }, (_, i) => 2 ** (i + exponents.from)),
)
const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1))
/** Taylor's, whose remainder at ln 2 is below 1e-9. */
const series = Array.from({ length: 11 }, (_, i) => 1 / factorial(i))
/**
 * e^x = 2^k e^(x - k ln 2) to float32's last places, the powers of two from a table. WGSL asks of its own an error of
 * 3 + 2|x| units in the last place: too much for the standard deviations of a posterior.
 */
const exponential = (given: Value): Value => {
  const x = call('Max', [call('Min', [given, number(highest)]), number(lowest)])
  const k = floor(scaled(x, Math.LOG2E))
  const rest = ln2.reduce((r, part) => sub(r, scaled(k, part)), x)
  const power = call('Gather', [powers, cast(add(k, number(-exponents.from)), 'int32')])
  return call('Where', [call('Equal', [given, given]), mul(polynomial(rest, series), power), given])
}
export const exp: Emit<'exp'> = (site) =>
  kernelsOf(site).preciseExponential || site.call.type.dtype !== 'float32'
    ? call('Exp', [valueAt(site, 0)])
    : exponential(valueAt(site, 0))
