import { expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { float, int, type Shape } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { everyName, present } from '../arbitrary/executors.ts'
import { graphOf, right } from './onnx-support.ts'

test.each(await present(everyName))(
  'arrays without numbers are reshaped, and a sum over none is 0: $name',
  async ({ executor }) => {
    const [l, r] = [D.input('l', float(2, 0)), D.input('r', float(0, 3))]
    const indices = D.input('indices', int(0))
    const several = D.input('several', float(4, 0, 0))
    const graph = graphOf({
      product: pipe(l, D.matmul(r)),
      rows: pipe(D.input('table', float(2, 3)), D.gather(indices)),
      added: pipe(r, D.scatterAdd(indices, 2)),
      padded: pipe(r, D.pad([1, 0], [0, 0])),
      beside: D.concat(0, r, D.input('table', float(2, 3)), pipe(r, D.mul(2))),
      spreadOut: pipe(r, D.broadcast(2, 0, 3)),
      sums: pipe(r, D.sum({ axes: [0] })),
      turned: pipe(r, D.mul(2), D.reshape(3, 0)),
      spread: pipe(several, D.matmul(D.input('one', float(1, 0, 0)), { transposeA: true })),
    })
    const none = (shape: Shape) => floats(shape, new Float32Array(0))
    const program = right(await executor.compile(graph, { mode: 'training' })())
    const table = floats([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6))
    const fed = {
      table,
      indices: { dtype: 'int32' as const, shape: [0], data: new Int32Array(0) },
      l: none([2, 0]),
      r: none([0, 3]),
      several: none([4, 0, 0]),
      one: none([1, 0, 0]),
    }
    const found = right(await program.run(fed)())
    expect(found.product?.data).toEqual(new Float32Array(6))
    expect(found.rows?.shape).toEqual([0, 3])
    expect(found.added?.data).toEqual(new Float32Array(6))
    expect(found.padded?.data).toEqual(new Float32Array(3))
    expect(found.beside?.data).toEqual(table.data)
    expect(found.spreadOut?.shape).toEqual([2, 0, 3])
    expect(found.sums?.data).toEqual(new Float32Array(3))
    expect(found.turned?.shape).toEqual([3, 0])
    expect(found.spread?.shape).toEqual([4, 0, 0])
    program.dispose()
  },
)

test('of none there is no greatest', () => {
  const none = D.input('none', float(0, 3))
  expect(right(D.freeze({ y: pipe(none, D.reduceMax({ axes: [1] })) })).outputs.y).toBeDefined()
  expect(D.freeze({ y: pipe(none, D.reduceMax()) })).toMatchObject({
    left: [{ tag: 'shape', expected: 'axes of float32[0, 3] with an element', got: '[0, 1]' }],
  })
  expect(D.freeze({ y: pipe(none, D.softmax(0)) })).toMatchObject({
    left: [{ tag: 'shape', expected: 'an axis of float32[0, 3] with an element', got: '0' }],
  })
})
test('nothing is convolved by a kernel without numbers, normed over none or looked up among no rows', () => {
  const [x, kernel] = [D.input('x', float(1, 4, 5, 5)), D.input('kernel', float(2, 4, 0, 3))]
  const window = { stride: [1, 1], padding: [0, 0, 0, 0] } as const
  expect(D.freeze({ y: pipe(x, D.conv2d(kernel, window)) })).toMatchObject({
    left: [{ tag: 'shape', expected: 'a kernel that fits in the padded input' }],
  })
  const of = (batch: number, channels: number) =>
    D.apply('groupRstd', { groups: 1, eps: 1e-5 }, [D.input('n', float(batch, channels))])
  expect(right(D.freeze({ y: of(0, 4) })).outputs.y).toBeDefined()
  expect(D.freeze({ y: of(1, 0) })).toMatchObject({
    left: [{ tag: 'shape', expected: 'numbers in each group', got: 'float32[1, 0]' }],
  })
  const [table, one] = [D.input('table', float(0, 3)), D.input('one', int(1))]
  expect(D.freeze({ y: pipe(table, D.gather(one)) })).toMatchObject({
    left: [{ tag: 'shape', expected: 'a table with rows' }],
  })
  expect(D.freeze({ y: pipe(D.input('rows', float(1, 3)), D.scatterAdd(one, 0)) })).toMatchObject({
    left: [{ tag: 'shape', expected: 'rows to add to' }],
  })
})
