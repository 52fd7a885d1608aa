import { expect, test } from 'vitest'
import { measured } from '../../src/execute/onednn/costs.ts'
import { halfPrecisions, saysHalves } from '../../src/execute/onednn/half.ts'

test.each([
  ['AVX2', 0x7, 'bfloat16 simulated', 'float16 simulated'],
  ['AVX-512', 0x27, 'bfloat16 simulated', 'float16 simulated'],
  ['AVX-512 with bfloat16', 0xe7, 'bfloat16 simulated', 'float16 simulated'],
  ['matrix units', 0xfef, 'bfloat16 native', 'float16 simulated'],
  ['matrix units of float16', 0x1fef, 'bfloat16 native', 'float16 native'],
] as const)('half precision lies as 2 bytes where products gain by it: %s', (_, isa, bfloat16, float16) => {
  const found = halfPrecisions({ isa }, measured)
  expect(found.bfloat16.isStored).toBe(bfloat16.endsWith('native'))
  expect(found.float16.isStored).toBe(float16.endsWith('native'))
  const said = saysHalves(found).split('; ')
  expect(said[0]).toContain(float16)
  expect(said[1]).toContain(bfloat16)
})
