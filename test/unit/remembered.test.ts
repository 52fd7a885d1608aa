import { expect, test } from 'vitest'
import { failure } from '../../src/error.ts'
import { remembered } from '../../src/execute/lifetime.ts'
import { E } from '../../src/prelude.ts'

test('what is remembered is done once for all who ask, and anew where it failed', async () => {
  let times = 0
  const program = remembered(async () => {
    times += 1
    return times === 1 ? E.left([failure('compile', 'engine', 'memory', 'none')] as const) : E.right(times)
  })
  expect((await Promise.all([program(), program()])).map(E.isLeft)).toEqual([true, true])
  expect(await Promise.all([program(), program(), program()])).toEqual([E.right(2), E.right(2), E.right(2)])
  expect(await program()).toEqual(E.right(2))
})
