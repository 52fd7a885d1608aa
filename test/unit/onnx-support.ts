import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import { type Checked, showErrors } from '../../src/error.ts'
import { type CompileOptions, type Executor, floats, type Value, type Values } from '../../src/execute/executor.ts'
import { feedTypes, type Graph } from '../../src/graph/graph.ts'
import { float, isFloat, size, type TensorType } from '../../src/graph/types.ts'
import { E, pipe, TE } from '../../src/prelude.ts'

export const right = <A>(e: Checked<A>): A => {
  if (E.isLeft(e)) throw new Error(showErrors(e.left))
  return e.right
}
export const graphOf = (outputs: Readonly<Record<string, Tensor>>): Graph => right(D.freeze(outputs))

/** Numbers in [-2, 2) without a pattern, some of them equal; indices in [0, 3). */
export const feed = (seed: number, { dtype, shape }: TensorType): Value => {
  const numbers = Array.from({ length: size(shape) }, (_, i) => (((i + 1 + seed * 31) * 2654435761) % 401) / 100 - 2)
  return isFloat(dtype)
    ? { dtype, shape, data: Float32Array.from(numbers) }
    : dtype === 'int32'
      ? { dtype, shape, data: Int32Array.from(numbers, (x) => Math.abs(Math.floor(x)) % 3) }
      : { dtype, shape, data: Uint8Array.from(numbers, (x) => (x > 0 ? 1 : 0)) }
}
export const feedsOf = (g: Graph): Values =>
  Object.fromEntries(Object.entries(feedTypes(g)).map(([name, type], i) => [name, feed(i, type)]))

const zeros = { kind: 'zeros' } as const
/** Adam on |w x - t|^2, written out. */
export const adam = (): Graph => {
  const [x, t] = [D.input('x', float(3, 4)), D.input('t', float(3, 2))]
  const w = D.parameter('net', 'weight', [4, 2], zeros)
  const [m, v] = [D.input('m/net.weight', float(4, 2)), D.input('v/net.weight', float(4, 2))]
  const error = pipe(x, D.matmul(w), D.sub(t))
  const gradient = pipe(x, D.matmul(error, { transposeA: true }))
  const mNext = pipe(m, D.mul(0.9), D.add(pipe(gradient, D.mul(0.1))))
  const vNext = pipe(v, D.mul(0.99), D.add(pipe(gradient, D.square, D.mul(0.01))))
  const wNext = pipe(w, D.sub(pipe(mNext, D.div(pipe(vNext, D.sqrt, D.add(1e-3))), D.mul(0.1))))
  return graphOf({ loss: D.squaredNorm(error), w: wNext, m: mNext, v: vNext })
}
/** Second moments are never negative. */
export const adamFeeds = (): Values => {
  const all = feedsOf(adam())
  const moment = all['v/net.weight']
  return moment === undefined
    ? all
    : { ...all, 'v/net.weight': floats(moment.shape, Float32Array.from(moment.data, Math.abs)) }
}
export const run = (executor: Executor, g: Graph, feeds: Values, options: CompileOptions = { mode: 'training' }) =>
  pipe(
    executor.compile(g, options),
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

/** Largest difference, measured against the largest number expected. */
export const difference = (got: Value | undefined, expected: Value | undefined): number => {
  if (got === undefined || expected === undefined || got.data.length !== expected.data.length) return Infinity
  const [a, b] = [Array.from(got.data), Array.from(expected.data)]
  const scale = b.reduce((m, y) => Math.max(m, Math.abs(y)), 1e-6)
  return a.reduce((worst, v, i) => {
    const d = Math.abs(v - (b[i] ?? 0)) / scale
    return Number.isNaN(d) ? Infinity : Math.max(worst, d)
  }, 0)
}
