import { constant, leafName, mul, sum, sumAll, type Tensor, topological } from '../../src/declare/index.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { size } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { grad } from '../../src/transform/index.ts'
import { frozen } from './cases.ts'
import { right } from './run.ts'

/** Fixed numbers without pattern, as many as x has elements. */
const weights = (x: Tensor, phase: number): readonly number[] =>
  Array.from({ length: size(x.shape) }, (_, i) => Math.cos(1 + phase + 2.4 * i))
const inner = (x: Tensor, numbers: readonly number[]): Tensor => pipe(x, mul(constant(numbers, x.type)), sum())

/** One number that depends on every element of every float output. */
export const lossOf = (outputs: Readonly<Record<string, Tensor>>): Tensor =>
  sumAll(
    ...Object.values(outputs)
      .filter((y) => y.type.dtype === 'float32')
      .map((y, i) => inner(y, weights(y, i))),
  )
/** The float leaves of an expression, each name once. */
export const variables = (loss: Tensor): readonly Tensor[] => [
  ...new Map(
    topological([loss]).flatMap((x) => {
      const name = leafName(x)
      return name === undefined || x.type.dtype !== 'float32' ? [] : [[name, x] as const]
    }),
  ).values(),
]

/** The derivative of a scalar along a fixed direction, by `grad`. */
export const along = (loss: Tensor, wrt: readonly Tensor[], phase: number): Tensor =>
  sumAll(...grad(loss, wrt).map((dx, i) => inner(dx, weights(dx, phase + i))))

/** The same by central differences of fourth order: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h. */
export const centralDifference = async (
  loss: Tensor,
  wrt: readonly Tensor[],
  phase: number,
  feeds: Values,
  h = 2 ** -13,
): Promise<number> => {
  const program = right(await reference.compile(frozen({ loss }), { mode: 'sampling' })())
  const directions = new Map(wrt.map((x, i) => [leafName(x), weights(x, phase + i)]))
  const at = async (t: number): Promise<number> => {
    const moved = Object.entries(feeds).map(([name, value]) => {
      const direction = directions.get(name)
      return direction === undefined || value.dtype !== 'float32'
        ? ([name, value] as const)
        : ([
            name,
            floats(
              value.shape,
              Float64Array.from(value.data, (v, i) => v + t * (direction[i] ?? 0)),
            ),
          ] as const)
    })
    return right(await program.run(Object.fromEntries(moved))()).loss?.data[0] ?? Number.NaN
  }
  return (8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h)
}
