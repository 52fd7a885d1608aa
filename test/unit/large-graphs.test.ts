import { expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float } from '../../src/graph/types.ts'
import { pipe, RA } from '../../src/prelude.ts'
import { present, tolerances } from '../arbitrary/executors.ts'
import { difference, runOn } from '../arbitrary/run.ts'
import { graphOf } from './onnx-support.ts'

/** Compiling takes time by a graph's size, not by its cube: that took minutes, and would run out of these. */
const enough = 60_000

const x = D.input('x', float(2))
const many = RA.makeBy(2000, (i) => 1 - i / 4_000_000)
const product = (a: D.Tensor, factor: number): D.Tensor =>
  pipe(a, D.reshape(1, 2), D.matmul(pipe(x, D.broadcast(2, 2), D.mul(factor))), D.reshape(2))
const graphs = {
  'sides of one array': graphOf({ y: D.concat(0, ...many.map((factor) => pipe(x, D.mul(factor)))) }),
  'products one after another': graphOf({ y: many.slice(0, 1000).reduce(product, x) }),
}
const compared = await present(['onnx:cpu', 'onednn', 'tfjs:wasm'])

test.each(compared.flatMap((c) => Object.entries(graphs).map(([what, graph]) => ({ ...c, what, graph }))))(
  'two thousand ops are soon compiled: $what, $name',
  async ({ name, executor, graph }) => {
    const feeds = { x: floats([2], Float32Array.of(0.625, 0.375)) }
    const [found, exact] = [await runOn(executor)(graph, feeds), await runOn(reference)(graph, feeds)]
    expect(difference(found, exact, tolerances[name].graph)).toBeUndefined()
  },
  enough,
)
