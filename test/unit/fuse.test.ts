import { expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import { inOrder } from '../../src/execute/onnx/calls.ts'
import { planned } from '../../src/execute/onnx/compile.ts'
import { layoutName } from '../../src/execute/onnx/layouts.ts'
import { float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { graphOf } from './onnx-support.ts'

const same: D.Window = { stride: [1, 1], padding: [1, 1, 1, 1] }
const weight = (name: string): Tensor => D.parameter('', name, [32, 32, 3, 3], { kind: 'zeros' })
const [w, v] = [weight('w'), weight('v')]
const x = D.input('x', float(128, 32, 8, 8))
const y = D.conv2d(w, same)(x)
const calls = (outputs: Readonly<Record<string, Tensor>>): readonly string[] =>
  inOrder(planned(graphOf(outputs), { device: 'cpu', mode: 'training', block: 16 })).map(
    ({ op, layout }) => `${op} ${layoutName(layout)}`,
  )
const counted = (all: readonly string[], op: string): number => all.filter((c) => c.startsWith(`${op} `)).length

test('a convolution takes ReLU along where nothing else reads it, and is computed once where something does', () => {
  const alone = calls({ y: D.relu(y) })
  expect([counted(alone, 'conv2d'), counted(alone, 'relu')]).toEqual([1, 0])
  const shared = calls({ y: D.relu(y), z: D.neg(y) })
  expect([counted(shared, 'conv2d'), counted(shared, 'relu')]).toEqual([1, 1])
})

test('ReLU and its mask stay in the blocks of the convolutions on both sides', () => {
  const first = D.relu(y)
  const second = D.conv2d(v, same)(first)
  const back = D.convInputGrad(v, [8, 8], same)(D.tanh(second))
  const masked = pipe(first, D.greater(0), D.select(back, D.zerosLike(back)))
  const all = calls({ dx: D.convInputGrad(w, [8, 8], same)(masked) })
  expect(all).toEqual(expect.arrayContaining(['less nchwc', 'select nchwc']))
  expect(all.filter((c) => c === 'convert nchwc').length).toBe(2)
  expect(all.filter((c) => c === 'convert plain').length).toBe(2)
})

test('what does not lie in blocks all over is chosen out of them', () => {
  const narrow = D.conv2d(v, { stride: [8, 8], padding: [0, 0, 0, 0] })(D.input('wide', float(128, 32, 3, 3)))
  const chosen = pipe(y, D.greater(0), D.select(y, narrow))
  expect(calls({ dx: D.convInputGrad(w, [8, 8], same)(chosen) })).toContain('select plain')
})
