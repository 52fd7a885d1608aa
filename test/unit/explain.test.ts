import { expect, test } from 'vitest'
import { explainText, withShares } from '../../src/execute/explain.ts'

test('a plan is told by what its calls come to, and by the dearest of them', () => {
  const rows = withShares([
    { node: 'conv_in', op: 'conv2d', algorithm: 'blocked', layout: 'nchwc', milliseconds: 1.5 },
    { node: '', op: 'add', algorithm: 'direct', layout: 'plain', milliseconds: 0.5 },
    { node: 'conv_out', op: 'conv2d', algorithm: 'blocked', layout: 'nchwc', milliseconds: 3 },
  ])
  expect(explainText(rows, 0.2)).toBe(
    [
      'op      algorithm  layout  calls    ms    share',
      'conv2d  blocked    nchwc       2  4.50   90.0 %',
      'add     direct     plain       1  0.50   10.0 %',
      'all                            3  5.00  100.0 %',
      '',
      'calls of 20.0 % and more, in order',
      '',
      'node      op      algorithm  layout    ms   share',
      'conv_in   conv2d  blocked    nchwc   1.50  30.0 %',
      'conv_out  conv2d  blocked    nchwc   3.00  60.0 %',
    ].join('\n'),
  )
  expect(withShares([{ node: '', op: 'x', algorithm: '', layout: '', milliseconds: 0 }])[0]?.share).toBe(0)
})
