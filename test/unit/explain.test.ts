import { expect, test } from 'vitest'
import { explainTable, withShares } from '../../src/execute/explain.ts'

test('a plan is a table of calls with their shares of the whole', () => {
  const rows = withShares([
    { node: 'conv_in', op: 'conv2d', algorithm: 'blocked', layout: 'nchwc', milliseconds: 1.5 },
    { node: '', op: 'add', algorithm: 'direct', layout: 'nchw', milliseconds: 0.5 },
  ])
  expect(explainTable(rows)).toBe(
    [
      'node     op      algorithm  layout     ms   share',
      'conv_in  conv2d  blocked    nchwc   1.500  75.0 %',
      '         add     direct     nchw    0.500  25.0 %',
    ].join('\n'),
  )
  expect(withShares([{ node: '', op: 'x', algorithm: '', layout: '', milliseconds: 0 }])[0]?.share).toBe(0)
})
