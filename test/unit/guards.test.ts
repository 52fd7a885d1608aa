import { expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { unguarded } from '../../src/execute/tfjs/guards.ts'
import { pipe } from '../../src/prelude.ts'
import { graphOf } from './onnx-support.ts'

test('what is guarded has the shape of what is kept: a choice that spreads either is none', () => {
  const finite = D.input('finite', { dtype: 'bool', shape: [1, 1] })
  const [w, row] = [
    D.parameter('net', 'w', [2, 3], { kind: 'zeros' }),
    D.parameter('net', 'row', [1, 3], { kind: 'zeros' }),
  ]
  const changed = pipe(w, D.mul(2))
  const guards = (y: D.Tensor) => Object.keys(unguarded(graphOf({ y })).guards)
  expect(guards(pipe(finite, D.select(changed, w)))).toEqual(['y'])
  expect(guards(pipe(finite, D.select(changed, row)))).toEqual([])
  expect(guards(pipe(finite, D.select(pipe(row, D.mul(2)), w)))).toEqual([])
})
