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

/** Of 2^r, |r| <= 1/2: least greatest relative error, 9e-8, where the last is 1. */
const powersOf2 = [1.32647273e-3, 9.67151299e-3, 5.55073358e-2, 0.240222424, 0.693147004, 1]
/** 2^t to 2e-7, t from -126 to 128, which is infinite. */
const powerOf2 = (t: Expression): Expression => {
  const bits = apply('add', t, float(shift))
  const rest = apply('sub', t, apply('sub', bits, float(shift)))
  return apply('raised', polynomial(rest, powersOf2), bits)
}
/** 1 / (1 + e^-x). */
export const sigmoid = (x: Expression): Expression =>
  apply('div', float(1), apply('add', float(1), powerOf2(within(apply('mul', x, float(-Math.LOG2E)), -126, 128))))
export const silu = (x: Expression): Expression => apply('mul', x, sigmoid(x))

/** The error function as x P(x^2) / Q(x^2), fitted to |x| <= 3.92, beyond which it is 1 in float32; to 4e-7 of itself. */
export const erf = (x: Expression): Expression => {
  const y = within(x, -3.92, 3.92)
  const square = apply('mul', y, y)
  const above = polynomial(
    square,
    [1.99237993e-8, -1.95781548e-6, 1.41851103e-4, 3.70167445e-3, 5.0573548e-2, 0.199926324, 1.12837911],
  )
  const below = polynomial(square, [9.56051894e-4, 1.43533438e-2, 0.11499914, 0.510511747, 1])
  return within(apply('div', apply('mul', y, above), below), -1, 1)
}

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
