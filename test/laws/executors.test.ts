import * as tf from '@tensorflow/tfjs-core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { only } from '../../src/execute/carry.ts'
import type { CompileOptions } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { grad, optimise } from '../../src/transform/index.ts'
import {
  type Case,
  caseOf,
  caseOfNone,
  type Fed,
  frozen,
  resultsOf,
  showFed,
  sideBySide,
  takesNone,
} from '../arbitrary/cases.ts'
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
const casesOf = (name: Name, whole: number): number =>
  Number(process.env.LATENTGRAPH_CASES ?? (slowToCompile.includes(name) ? whole / 10 : whole))
/** XLA takes little longer for so many cases in one program than for one. */
const inOneProgram: { readonly [N in Name]?: number } = { 'xla:cpu': 10 }

/** Cases that an executor is given side by side, as many as it takes in one program. */
const joint = (arbitrary: fc.Arbitrary<Fed>, count: number): fc.Arbitrary<readonly Fed[]> =>
  fc.array(arbitrary, { minLength: count, maxLength: count }).map((all) =>
    Object.assign(all, {
      [fc.toStringMethod]: () => all.map((one, i) => `case ${i}:\n${showFed(one)}`).join('\n'),
    }),
  )

/** The loss of a graph's outputs with its gradients. */
const gradientsOf = ({ outputs, feeds }: Case): Fed => {
  const loss = lossOf(outputs)
  const gradients = grad(loss, variables(loss)).map((dx, i) => [`dx${i}`, dx] as const)
  const graph = optimise(frozen({ loss, ...Object.fromEntries(gradients) }))
  return { graph, feeds: only(feeds, Object.keys(feedTypes(graph))) }
}

const takingNone = opKinds.filter(takesNone)
test('ops that take no array without numbers are known, or are drawn with their shape among the attributes', () => {
  const refusing = ['conv2d', 'convInputGrad', 'convWeightGrad'] as const
  const shaped = ['input', 'parameter', 'noise', 'constant', 'reshape', 'slice', 'broadcast'] as const
  expect(opKinds.filter((op) => !takingNone.includes(op)).sort()).toEqual([...refusing, ...shaped].sort())
})

describe.each(compared)('$name agrees with the reference', ({ name, executor }) => {
  const tolerance = tolerances[name]
  const side = inOneProgram[name] ?? 1
  const agrees =
    (within: number, mode: CompileOptions['mode'] = 'sampling') =>
    async (all: readonly Fed[]): Promise<void> => {
      const { graph, feeds } = sideBySide(all)
      const found = await runOn(executor, { mode })(graph, feeds)
      for (const [i, one] of all.entries()) {
        const far = difference(resultsOf(found, i), await exact(one.graph, one.feeds), within)
        if (far !== undefined) throw new Error(`case ${i}: ${far}`)
      }
    }
  const law = (arbitrary: fc.Arbitrary<Fed>, whole: number, ...how: Parameters<typeof agrees>): Promise<void> =>
    check(fc.asyncProperty(joint(arbitrary, side), agrees(...how)), Math.ceil(casesOf(name, whole) / side))

  test.each(opKinds)('%s', (op) => law(caseOf(op), 30, tolerance.op))
  test.each(takingNone)('%s of arrays without numbers', (op) => law(caseOfNone(op), 10, tolerance.op))
  test('generated graphs', () => law(arbitraryGraph({ steps: 9 }), 100, tolerance.graph))
  test('gradients of generated graphs, optimised', () =>
    law(arbitraryGraph().map(gradientsOf), 60, tolerance.graph, 'training'))
})
