import fc from 'fast-check'
import { add, constant, maximum, minimum, mul, square, type Tensor, tanh } from '../../src/declare/index.ts'
import { ints, type Value } from '../../src/execute/executor.ts'
import { isFloat, size, type TensorType } from '../../src/graph/types.ts'
import { identity, pipe } from '../../src/prelude.ts'

/**
 * Numbers on which an op is defined and smooth. All are multiples of 1/64, which float32 holds exactly.
 * `adapt` maps any tensor of the right type smoothly into the domain; where there is none, only a leaf will do.
 */
export interface Domain {
  readonly draw: (count: number) => fc.Arbitrary<readonly number[]>
  readonly adapt?: (x: Tensor) => Tensor
}
const each = (element: fc.Arbitrary<number>, adapt?: Domain['adapt']): Domain => ({
  draw: (count) => fc.array(element, { minLength: count, maxLength: count }),
  ...(adapt === undefined ? {} : { adapt }),
})
const grid = (min: number, max: number, step: number, offset = 0): fc.Arbitrary<number> =>
  fc.integer({ min, max }).map((k) => k * step + offset)

/** Less than 1/20 away from a pattern of numbers. */
const near =
  (pattern: (i: number) => number) =>
  (x: Tensor): Tensor =>
    pipe(
      x,
      tanh,
      mul(0.05),
      add(
        constant(
          Array.from({ length: size(x.shape) }, (_, i) => pattern(i)),
          x.type,
        ),
      ),
    )
const awayFromZero = (x: Tensor): Tensor => pipe(x, square, add(0.5), mul(0.5), tanh, mul(2))

const numbers = grid(-128, 128, 1 / 64)
export const any = each(numbers, identity)
export const bounded = each(numbers, (x) => pipe(x, mul(0.25), tanh))
export const positive = each(grid(16, 160, 1 / 64), awayFromZero)
/** At least 1/8 away from 0. */
export const apart = each(
  fc.tuple(grid(8, 128, 1 / 64), fc.boolean()).map(([x, negative]) => (negative ? -x : x)),
  awayFromZero,
)
/** At least 1/4 away from whole numbers. */
export const betweenWhole = each(
  fc.tuple(grid(-3, 3, 1), grid(16, 48, 1 / 64)).map(([a, b]) => a + b),
  near((i) => (i % 5) - 1.5),
)
/** Whole numbers, so that equal ones meet. */
export const whole = each(grid(-2, 2, 1))
/** No two of `quarters` and `eighths` are nearer than 1/40. */
export const quarters = each(
  grid(-6, 6, 1 / 4),
  near((i) => ((i * 7) % 5) / 4 - 0.5),
)
export const eighths = each(
  grid(-6, 6, 1 / 4, 1 / 8),
  near((i) => ((i * 3) % 5) / 4 - 0.375),
)
/** No two are nearer than 1/40. */
export const distinct: Domain = {
  draw: (count) => {
    const all = Array.from({ length: count }, (_, i) => (i - Math.floor(count / 2)) / 8)
    return fc.shuffledSubarray(all, { minLength: count, maxLength: count })
  },
  adapt: near((i) => i / 8),
}
export const integer = each(fc.integer({ min: -9, max: 9 }), identity)
export const smallInteger = each(fc.integer({ min: -9, max: 9 }), (x) => pipe(x, maximum(-9), minimum(9)))
/** Neither 0 nor -1: the least int32 has no opposite. */
export const divisor = each(fc.constantFrom(1, 2, 3, 5, -2, -3))
export const truth = each(fc.integer({ min: 0, max: 1 }), identity)
export const below = (rows: number): Domain => each(fc.integer({ min: 0, max: rows - 1 }))

/** Numbers of a domain as a value of a type. */
export const drawValue = ({ dtype, shape }: TensorType, domain: Domain): fc.Arbitrary<Value> =>
  domain
    .draw(size(shape))
    .map((numbers) =>
      isFloat(dtype)
        ? { dtype, shape, data: Float64Array.from(numbers) }
        : dtype === 'int32'
          ? ints(shape, Int32Array.from(numbers))
          : { dtype, shape, data: Uint8Array.from(numbers) },
    )
