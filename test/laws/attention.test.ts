import fc from 'fast-check'
import { expect, test } from 'vitest'
import { input, matmul, mul, softmax, type Tensor } from '../../src/declare/index.ts'
import { fillNormal, key } from '../../src/distributions/random.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { lower } from '../../src/execute/onnx/compile.ts'
import { type Costs, measured } from '../../src/execute/onnx/costs.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { feedTypes, type Graph } from '../../src/graph/graph.ts'
import { float, size } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { tolerances } from '../arbitrary/executors.ts'
import { difference, runOn } from '../arbitrary/run.ts'

const always: Costs = { ...measured, scores: 0 }

/** How one attention is declared: sizes, and which of its matrices lie transposed. */
const arbitraryAttention = fc.record({
  leading: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
  queries: fc.integer({ min: 1, max: 90 }),
  keys: fc.integer({ min: 1, max: 90 }),
  width: fc.integer({ min: 1, max: 40 }),
  values: fc.integer({ min: 1, max: 40 }),
  transposed: fc.record({ q: fc.boolean(), k: fc.boolean(), v: fc.boolean() }),
  columns: fc.boolean(),
  peaked: fc.boolean(),
})
type Declared = typeof arbitraryAttention extends fc.Arbitrary<infer A> ? A : never

const weightsOf = ({ leading, queries, keys, width, transposed, peaked }: Declared): Tensor => {
  const of = (name: string, rows: number, isTurned: boolean): Tensor =>
    input(name, float(...leading, ...(isTurned ? [width, rows] : [rows, width])))
  const [q, k] = [of('q', queries, transposed.q), of('k', keys, transposed.k)]
  const scaled = pipe(q, mul(peaked ? 30 : 0.3))
  return pipe(scaled, matmul(k, { transposeA: transposed.q, transposeB: !transposed.k }), softmax(-1))
}
const attended = (of: Declared, weights: Tensor): Tensor => {
  const { leading, keys, values, transposed, columns } = of
  const v = input('v', float(...leading, ...(transposed.v ? [values, keys] : [keys, values])))
  return columns
    ? pipe(v, matmul(weights, { transposeA: !transposed.v, transposeB: true }))
    : pipe(weights, matmul(v, { transposeB: transposed.v }))
}
const feedsOf = (g: Graph, seed: number): Values =>
  Object.fromEntries(
    Object.entries(feedTypes(g)).map(([name, { shape }], i) => {
      const out = new Float32Array(size(shape))
      fillNormal(key(seed + i), out)
      return [name, floats(shape, out)]
    }),
  )
const opsOf = (g: Graph, costs: Costs): readonly string[] =>
  lower(g, { device: 'cpu', mode: 'sampling', block: null, costs }).nodes.map(({ op }) => op)

test('attention in one op is attention, wherever positions and channels lie', () =>
  check(
    fc.asyncProperty(arbitraryAttention, fc.nat(), async (declared, seed) => {
      const g = frozen({ y: attended(declared, weightsOf(declared)) })
      expect(opsOf(g, always)).toContain('MultiHeadAttention')
      const feeds = feedsOf(g, seed)
      const [made, exact] = [await runOn(onnx('cpu', always))(g, feeds), await runOn(reference)(g, feeds)]
      expect(difference(made, exact, tolerances['onnx:cpu'].graph)).toBeUndefined()
    }),
    60,
  ))

const declared: Declared = {
  ...{ leading: [2], queries: 5, keys: 6, width: 4, values: 3, columns: false, peaked: false },
  transposed: { q: false, k: false, v: false },
}
test('it is two products where scores are few, where weights are read elsewhere, and where leading axes differ', () => {
  const weights = weightsOf(declared)
  const y = attended(declared, weights)
  const single = input('single', float(1, 6, 3))
  expect(opsOf(frozen({ y }), measured)).toEqual(expect.arrayContaining(['FusedMatMul', 'Softmax', 'MatMul']))
  for (const outputs of [{ y, weights }, { y: pipe(weights, matmul(single)) }])
    expect(opsOf(frozen(outputs), always)).not.toContain('MultiHeadAttention')
})
