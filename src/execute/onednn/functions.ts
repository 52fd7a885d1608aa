import { apply, type Expression, float } from './expression.ts'

/** Functions of one element, made of what 4 lanes can do at once. */

const polynomial = (x: Expression, [first = 0, ...others]: readonly number[]): Expression =>
  others.reduce<Expression>((sum, c) => apply('add', apply('mul', sum, x), float(c)), float(first))

/** Cephes' expf: e^x = 2^n e^r with |r| <= ln(2) / 2, to a unit in the last place; 2^n in two factors, for what is subnormal. */
export const exponential = (x: Expression): Expression => {
  const within = apply('max', apply('min', x, float(90)), float(-105))
  const n = apply('nearest', apply('mul', within, float(Math.LOG2E)))
  const r = apply(
    'sub',
    apply('sub', within, apply('mul', n, float(0.693359375))),
    apply('mul', n, float(-2.1219444e-4)),
  )
  const p = polynomial(r, [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5])
  const y = apply('add', apply('add', apply('mul', p, apply('mul', r, r)), r), float(1))
  const whole = apply('toInt', n)
  const half = apply('halved', whole)
  return apply('mul', apply('mul', y, apply('powerOf2', half)), apply('powerOf2', apply('subInt', whole, half)))
}

export const sigmoid = (x: Expression): Expression =>
  apply('div', float(1), apply('add', float(1), exponential(apply('neg', x))))
export const silu = (x: Expression): Expression => apply('div', x, apply('add', float(1), exponential(apply('neg', x))))

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
