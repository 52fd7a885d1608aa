import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { constant, input, noise, type Tensor } from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { float, int } from '../../src/graph/types.ts'
import {
  gumbelNoise,
  gumbelQuantizer,
  type Remap,
  remapToUsed,
  unmapToAll,
  vectorQuantizer,
} from '../../src/nn/index.ts'
import { trainable } from '../../src/transform/index.ts'
import { evaluate } from './diffusion-fixtures.ts'

const entries = 9
const codes = (...xs: readonly number[]): Tensor => constant(xs, int(xs.length))
const numbers = async (y: Tensor, feeds = {}): Promise<readonly number[]> =>
  Array.from((await evaluate({ y }, feeds)).y?.data ?? [], Number)
const remaps = fc.record({
  used: fc.uniqueArray(fc.nat(entries - 1), { minLength: 1 }),
  unknown: fc.oneof(fc.constant('extra' as const), fc.nat(3)),
})

describe('a remap', () => {
  test('of used codes and back is the identity', () =>
    fc.assert(
      fc.asyncProperty(remaps, async (remap: Remap) => {
        const there = remapToUsed('', entries, remap)(codes(...remap.used))
        expect(await numbers(there)).toEqual(remap.used.map((_, i) => i))
        expect(await numbers(unmapToAll(remap)(there))).toEqual(remap.used)
      }),
      { numRuns: 20 },
    ))
  test('gives unknown codes one number, the extra one of which is the first used', async () => {
    const remap: Remap = { used: [4, 7], unknown: 'extra' }
    const there = remapToUsed('', entries, remap)(codes(7, 0, 8))
    expect(await numbers(there)).toEqual([1, 2, 2])
    expect(await numbers(unmapToAll(remap)(there))).toEqual([7, 4, 4])
    expect(await numbers(remapToUsed('', entries, { used: [4, 7], unknown: 1 })(codes(4, 0)))).toEqual([0, 1])
  })
  test('by chance gives unknown codes any number below those used', async () => {
    const there = remapToUsed('quantize', entries, { used: [4, 7, 2], unknown: 'random' })(codes(7, 0, 8, 1))
    const chance = floats([4], Float64Array.of(0.99, 0, 0.5, 0.9999))
    expect(await numbers(there, { 'quantize.remap': chance })).toEqual([1, 0, 1, 2])
  })
})

describe('a vector quantiser', () => {
  test('takes equal distances to the first code, and names its table as the reference does', async () => {
    const z = constant([0, 1], float(1, 1, 1, 2))
    const quantized = vectorQuantizer('quantize', { entries: 3, dim: 1, beta: 0.25, weighs: 'beta' })(z)
    const table = { 'quantize.embedding.weight': floats([3, 1], Float64Array.of(1, -1, 1)) }
    expect(await numbers(quantized.codes, table)).toEqual([0, 0])
    expect(await numbers(quantized.loss, table)).toEqual([0.625])
    expect(quantized.codes.shape).toEqual([1, 1, 2])
    expect(trainable(quantized.loss).map((p) => [p.shape, p.attributes])).toMatchObject([
      [[3, 1], { init: { kind: 'uniform', bound: 1 / 3 } }],
    ])
  })
})

describe('Gumbel noise', () => {
  test('is finite at both ends, and has its distribution', async () => {
    const u = Float64Array.from({ length: 1000 }, (_, i) => i / 1000)
    const g = await numbers(gumbelNoise('u', [1000]), { u: floats([1000], u) })
    expect(g.every(Number.isFinite)).toBe(true)
    g.slice(1).forEach((x, i) => {
      expect(Math.exp(-Math.exp(-x))).toBeCloseTo((i + 1) / 1000, 10)
    })
  })
})

describe('a Gumbel quantiser', () => {
  const config = { entries: 3, dim: 2, klWeight: 1, hard: false }
  const z = input('z', float(1, 2, 1, 1))
  const feeds = {
    z: floats([1, 2, 1, 1], Float64Array.of(1, 2)),
    'proj.weight': floats([3, 2, 1, 1], Float64Array.of(1, 0, 0, 1, 0, 0)),
    'proj.bias': floats([3], new Float64Array(3)),
    'embed.weight': floats([3, 2], Float64Array.of(1, 0, 0, 1, 5, 5)),
    gumbel: floats([1, 3, 1, 1], new Float64Array(3)),
  }
  const ask = (given: Partial<Parameters<ReturnType<typeof gumbelQuantizer>>[1]>, shape = [1, 3, 1, 1]) => {
    const { y } = gumbelQuantizer('', config)(z, { noise: noise('gumbel', shape), ...given })
    return numbers(y, { ...feeds, gumbel: floats(shape, new Float64Array(shape.reduce((a, b) => a * b))) })
  }
  test('mixes codes while training, the more the hotter', async () => {
    const [a = 0, b = 0] = await ask({ training: true, temperature: 1 })
    const whole = Math.exp(1) + Math.exp(2) + 1
    expect([a, b]).toEqual([
      expect.closeTo((Math.exp(1) + 5) / whole, 12),
      expect.closeTo((Math.exp(2) + 5) / whole, 12),
    ])
    const [hot = 0] = await ask({ training: true, temperature: 1e6 })
    expect(hot).toBeCloseTo(2, 5)
  })
  test('chooses one in evaluation, among those used', async () => {
    expect(await ask({})).toEqual([expect.closeTo(0, 12), expect.closeTo(1, 12)])
    expect(await ask({ used: [2, 0] }, [1, 2, 1, 1])).toEqual([expect.closeTo(1, 12), expect.closeTo(0, 12)])
  })
})
