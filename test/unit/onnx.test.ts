import { describe, expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import type { LatentError } from '../../src/error.ts'
import { floats, type Value } from '../../src/execute/executor.ts'
import { lower } from '../../src/execute/onnx/compile.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { encode } from '../../src/execute/onnx/proto.ts'
import { float } from '../../src/graph/types.ts'
import { E, type Either, pipe, TE } from '../../src/prelude.ts'
import { adam, graphOf } from './onnx-support.ts'

const zeros = { kind: 'zeros' } as const
const faults = (e: Either<readonly LatentError[], unknown>): readonly LatentError[] => (E.isLeft(e) ? e.left : [])

describe('lowering', () => {
  const target = { device: 'cpu', mode: 'training', block: null } as const
  const model = (outputs: Readonly<Record<string, Tensor>>) => lower(graphOf(outputs), target)
  const ops = (outputs: Readonly<Record<string, Tensor>>): readonly string[] => model(outputs).nodes.map((n) => n.op)
  const x = D.input('x', float(2, 4, 8, 8))
  const conv = D.conv2d(D.parameter('c', 'weight', [4, 4, 3, 3], zeros), { stride: [1, 1], padding: [1, 1, 1, 1] })(x)
  const bias = D.reshape(4, 1, 1)(D.parameter('c', 'bias', [4], zeros))

  test('the same graph gives the same bytes', () => {
    expect(encode(lower(adam(), target))).toEqual(encode(lower(adam(), target)))
  })
  test('a bias is taken along by the convolution that nothing else reads', () => {
    expect(ops({ y: pipe(conv, D.add(bias)) })).toEqual(['Conv'])
    expect(ops({ y: pipe(conv, D.add(bias)), conv })).toEqual(['Conv', 'Reshape', 'Add'])
  })
  test('convolutions are blocked where the processor has blocks that fit, and there are positions enough', () => {
    const ops = (n: number, block: number | null) => {
      const from = D.input('x', float(n, 16, 8, 8))
      const weight = D.parameter('c', 'weight', [32, 16, 3, 3], zeros)
      const y = D.conv2d(weight, { stride: [1, 1], padding: [1, 1, 1, 1] })(from)
      return lower(graphOf({ y }), { ...target, block }).nodes.map((n) => n.op)
    }
    expect(ops(4, 16)).toEqual([
      'ReorderInput',
      'Reshape',
      'ReorderInput',
      'Reshape',
      'Transpose',
      'Reshape',
      'Conv',
      'ReorderOutput',
    ])
    expect([ops(4, null), ops(1, 16), ops(4, 32)]).toEqual([['Conv'], ['Conv'], ['Conv']])
  })
  test('normalisations of the same x share one node', () => {
    const g = { groups: 2, eps: 1e-5 }
    const [w, b] = [D.parameter('n', 'weight', [4], zeros), D.parameter('n', 'bias', [4], zeros)]
    const all = ops({ y: D.groupNorm(w, b, g)(x), s: D.standardize(g)(x), r: D.groupRstd(g)(x) })
    expect(all.filter((op) => op === 'LayerNormalization')).toHaveLength(1)
  })
  test('stopGradient, mark and nothing read cost no node', () => {
    expect(ops({ y: D.neg(D.stopGradient(D.claims('raw latents')(D.mul(1)(x)))) })).toEqual(['Mul', 'Neg'])
  })
  test('constants beside files, beyond what a model can hold, are a compile error', async () => {
    const n = 20_000
    const g = graphOf({ y: D.mul(D.input('f', float()))(D.parameter('', 'w', [n, n], zeros)) })
    const f = {
      path: '/f',
      position: 0,
      element: 'float32',
      shape: [],
      read: TE.right(floats([], new Float32Array(1))),
    } as const
    const w: Value = floats([n, n], new Float32Array(n * n))
    expect(faults(await onnx('cpu').compile(g, { mode: 'sampling', constants: { w }, files: { f } })())).toMatchObject([
      { tag: 'compile', expected: 'at most 1.5 GB of constants in a model', got: '1.6 GB' },
    ])
  })
})
