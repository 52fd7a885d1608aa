import type { Scope, Tensor } from '../declare/index.ts'
import { failure } from '../error.ts'
import { float } from '../graph/types.ts'

/** An expression at fault from the start, for what a network is given beside x; `freeze` reports it. */
export const fault = (s: Scope, expected: string, got: string): Tensor => ({
  op: 'constant',
  attributes: { type: float(), data: [0] },
  args: [],
  type: float(),
  shape: [],
  scope: s,
  fault: failure('shape', s === '' ? '(root)' : s, expected, got),
})
