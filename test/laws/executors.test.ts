import * as tf from '@tensorflow/tfjs-core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CompileOptions } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { grad, optimise } from '../../src/transform/index.ts'
import { type Case, caseOf, frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { lossOf, variables } from '../arbitrary/differentiate.ts'
import { everyName, type Name, present, tolerances } from '../arbitrary/executors.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { difference, runOn } from '../arbitrary/run.ts'

const exact = runOn(reference)
const compared = await present(everyName)
/** The shaders for products that a real GPU would run; whole training steps take those for a software one. */
if (compared.some(({ name }) => name === 'tfjs:webgpu')) tf.env().set('WEBGPU_MATMUL_PROGRAM_TYPE', -1)

/** ONNX Runtime's WebGPU builds its shaders anew for every graph, XLA its machine code: a tenth of the cases must do, unless told otherwise. */
const slowToCompile: readonly Name[] = ['onnx:webgpu', 'xla:cpu']
const runs = (name: Name, whole: number): number =>
  process.env.LATENTGRAPH_CASES === undefined
    ? slowToCompile.includes(name)
      ? whole / 10
      : whole
    : Number(process.env.LATENTGRAPH_CASES)

describe.each(compared)('$name agrees with the reference', ({ name, executor }) => {
  const tolerance = tolerances[name]
  const agree =
    (within: number, mode: CompileOptions['mode'] = 'sampling') =>
    async ({ graph, feeds }: Pick<Case, 'graph' | 'feeds'>): Promise<void> => {
      expect(
        difference(await runOn(executor, { mode })(graph, feeds), await exact(graph, feeds), within),
      ).toBeUndefined()
    }

  test.each(opKinds)('%s', (op) => check(fc.asyncProperty(caseOf(op), agree(tolerance.op)), runs(name, 30)))
  test('generated graphs', () =>
    check(fc.asyncProperty(arbitraryGraph({ steps: 9 }), agree(tolerance.graph)), runs(name, 100)))
  test('gradients of generated graphs, optimised', () =>
    check(
      fc.asyncProperty(arbitraryGraph(), async ({ outputs, feeds }) => {
        const loss = lossOf(outputs)
        const gradients = grad(loss, variables(loss)).map((dx, i) => [`dx${i}`, dx] as const)
        await agree(
          tolerance.graph,
          'training',
        )({ graph: optimise(frozen({ loss, ...Object.fromEntries(gradients) })), feeds })
      }),
      runs(name, 60),
    ))
})
