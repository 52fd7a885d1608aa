import { expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { moduleText } from '../../src/execute/tail/kernel.ts'
import { splitTail } from '../../src/execute/tail/split.ts'
import { binsOf } from '../../src/execute/tfjs/bins.ts'
import { schedule } from '../../src/execute/tfjs/program.ts'
import { constant } from '../../src/execute/tfjs/value.ts'
import { feedTypes, outputTypes } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { optimise } from '../../src/transform/index.ts'
import { graphOf } from './onnx-support.ts'

/** Both infinities, from one number to the next: what takes 0 and -0 for one loses one of them. */
const divided = (of: (i: number) => D.Tensor) =>
  graphOf(
    Object.fromEntries([0, -0].map((zero, i) => [`y${i}`, pipe(of(i), D.div(D.constant([zero], float())))] as const)),
  )
const loopsOf = () => {
  const g = divided((i) => D.input(`x${i}`, float(3)))
  return { g, ...splitTail(g) }
}

test('graphs share no constant of 0 and -0', () => {
  const constants = optimise(divided(() => D.input('x', float(3)))).nodes.filter(({ op }) => op === 'constant')
  expect(constants).toHaveLength(2)
})
test('TensorFlow is given both', () => {
  const type = { dtype: 'float32', shape: [2] } as const
  const { constants } = schedule({ a: constant(type, [0, 1]), b: constant(type, [-0, 1]), c: constant(type, [0, 1]) })
  expect(constants).toHaveLength(2)
})
test('loops with either do not become one', () => {
  const { g, loops } = loopsOf()
  const lowered = { body: {}, loops, guards: {}, leaves: feedTypes(g), outputs: outputTypes(g) }
  expect(binsOf(lowered, {}).map((bin) => bin.loops.length)).toEqual([1, 1])
})
test('loops in WebAssembly have both', () => {
  const text = moduleText(loopsOf().loops).text
  expect(text).toContain('(f32.const -0)')
  expect(text).toContain('(f32.const 0)')
})
