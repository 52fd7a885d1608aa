import { apply, type Expression, float, shift } from './expression.ts'

/** Functions of one element, made of what 4 lanes can do at once. */

const polynomial = (x: Expression, [first = 0, ...others]: readonly number[]): Expression =>
  others.reduce<Expression>((sum, c) => apply('add', apply('mul', sum, x), float(c)), float(first))

/** e^r 2^n of x, |r| <= ln(2) / 2, by Cephes' expf, to a unit in the last place: y = e^r, and the bits of n + `shift`, a float. */
const split = (x: Expression): { readonly y: Expression; readonly bits: Expression } => {
  const bits = apply('add', apply('mul', x, float(Math.LOG2E)), float(shift))
  const n = apply('sub', bits, float(shift))
  const r = apply('sub', apply('sub', x, apply('mul', n, float(0.693359375))), apply('mul', n, float(-2.1219444e-4)))
  const p = polynomial(r, [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5])
  return { y: apply('add', apply('add', apply('mul', p, apply('mul', r, r)), r), float(1)), bits }
}
const within = (x: Expression, low: number, high: number): Expression =>
  apply('pmax', apply('pmin', x, float(high)), float(low))

/** e^x, 2^n in two factors for what is subnormal. */
export const exponential = (x: Expression): Expression => {
  const { y, bits } = split(within(x, -105, 90))
  const whole = apply('shifted', bits)
  const half = apply('halved', whole)
  return apply('mul', apply('mul', y, apply('powerOf2', half)), apply('powerOf2', apply('subInt', whole, half)))
}
/** e^x, 0 below -88 and infinite above 88.4. */
export const shortExponential = (x: Expression): Expression => {
  const { y, bits } = split(within(x, -88, 89))
  return apply('mul', y, apply('powerOf2', bits))
}

export const sigmoid = (x: Expression): Expression =>
  apply('div', float(1), apply('add', float(1), shortExponential(apply('neg', x))))
export const silu = (x: Expression): Expression => apply('mul', x, sigmoid(x))

/** The sign of x; x itself where it is 0 or no number. */
export const sign = (x: Expression): Expression =>
  apply('select', apply('less', float(0), apply('abs', x)), apply('copysign', float(1), x), x)
/** The sign of an integer. */
export const signInt = (x: Expression): Expression =>
  apply(
    'subInt',
    apply('lessInt', { kind: 'number', value: 0, of: 'int' }, x),
    apply('lessInt', x, { kind: 'number', value: 0, of: 'int' }),
  )
