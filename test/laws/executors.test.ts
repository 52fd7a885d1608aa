import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { grad, optimise } from '../../src/transform/index.ts'
import { type Case, caseOf, frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { lossOf, variables } from '../arbitrary/differentiate.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { difference, runOn } from '../arbitrary/run.ts'

/** Of one op: some units in the last place of float32 (6e-8), relative to the greatest element. */
const ofOneOp = 2e-6
/** Of a graph: what rounding in each of some dozen ops can add up to. */
const ofGraph = 1e-4

const [exact, native] = [runOn(reference), runOn(onnx('cpu'))]
const agree =
  (tolerance: number) =>
  async ({ graph, feeds }: Pick<Case, 'graph' | 'feeds'>): Promise<void> => {
    expect(difference(await native(graph, feeds), await exact(graph, feeds), tolerance)).toBeUndefined()
  }

describe('onnx:cpu agrees with the reference', () => {
  test.each(opKinds)('%s', (op) => check(fc.asyncProperty(caseOf(op), agree(ofOneOp)), 30))
  test('generated graphs', () => check(fc.asyncProperty(arbitraryGraph({ steps: 9 }), agree(ofGraph)), 100))
  test('gradients of generated graphs, optimised', () =>
    check(
      fc.asyncProperty(arbitraryGraph(), async ({ outputs, feeds }) => {
        const loss = lossOf(outputs)
        const gradients = grad(loss, variables(loss)).map((dx, i) => [`dx${i}`, dx] as const)
        await agree(ofGraph)({ graph: optimise(frozen({ loss, ...Object.fromEntries(gradients) })), feeds })
      }),
      60,
    ))
})
