import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { freeze, type Tensor } from '../../src/declare/index.ts'
import type { Errors } from '../../src/error.ts'
import { type Executor, floats, type Value, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { type Graph, feedTypes } from '../../src/graph/graph.ts'
import { float, int, size, type TensorType } from '../../src/graph/types.ts'
import { E, pipe, TE } from '../../src/prelude.ts'

const graphOf = (outputs: Readonly<Record<string, Tensor>>): Graph => {
  const frozen = freeze(outputs)
  if (E.isLeft(frozen)) throw new Error(JSON.stringify(frozen.left))
  return frozen.right
}
const right = <A>(e: E.Either<Errors, A>): A => {
  if (E.isLeft(e)) throw new Error(JSON.stringify(e.left))
  return e.right
}
/** Numbers in [-2, 2) that repeat after a long while; indices in [0, 3). */
const feed = (seed: number, { dtype, shape }: TensorType): Value => {
  const numbers = Array.from({ length: size(shape) }, (_, i) => (((i + seed * 31) * 2654435761) % 4001) / 1000 - 2)
  return dtype === 'float32'
    ? { dtype, shape, data: Float32Array.from(numbers) }
    : dtype === 'int32'
      ? { dtype, shape, data: Int32Array.from(numbers, (x) => Math.abs(Math.floor(x)) % 3) }
      : { dtype, shape, data: Uint8Array.from(numbers, (x) => (x > 0 ? 1 : 0)) }
}
const feedsOf = (g: Graph): Values =>
  Object.fromEntries(Object.entries(feedTypes(g)).map(([name, type], i) => [name, feed(i, type)]))

const run = (executor: Executor, g: Graph, feeds: Values, mode: 'sampling' | 'training' = 'training') =>
  pipe(
    executor.compile(g, { mode }),
    TE.chain((x) =>
      pipe(
        x.run(feeds),
        TE.map((values) => {
          x.dispose()
          return values
        }),
      ),
    ),
  )().then(right)

const x = (name: string, ...shape: readonly number[]) => D.input(name, float(...shape))
const cases: Readonly<Record<string, Tensor>> = {
  add: pipe(x('a', 2, 3), D.add(x('b', 3))),
}
describe.each([['cpu']] as const)('onnx:%s', (device) => {
  test.each(Object.keys(cases))('%s', async (name) => {
    const g = graphOf({ y: cases[name] ?? x('a') })
    const feeds = feedsOf(g)
    const [a, b] = [await run(onnx(device), g, feeds), await run(reference, g, feeds)]
    expect(a.y?.shape).toEqual(b.y?.shape)
    expect(Array.from(a.y?.data ?? [])).toEqual(Array.from(b.y?.data ?? []).map(Math.fround))
  })
})
