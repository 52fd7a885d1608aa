import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { freeze, input, reshape, type Tensor, transpose } from '../../src/declare/index.ts'
import { floats, ints, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { isNode, noises, parameters } from '../../src/graph/graph.ts'
import { float, int, size } from '../../src/graph/types.ts'
import {
  attentionBlock,
  averagePool2,
  conv1d,
  conv2d,
  crossAttention,
  dropout,
  embedding,
  getTimestepEmbedding,
  groupNorm,
  layerNorm,
  linear,
  spatialSelfAttention,
  timestepEmbedding,
} from '../../src/nn/index.ts'
import { E, pipe, TE } from '../../src/prelude.ts'

const frozen = (y: Tensor) => {
  const g = freeze({ y })
  if (E.isLeft(g)) throw new Error(JSON.stringify(g.left))
  return g.right
}
const declared = (y: Tensor) => parameters(frozen(y)).map(({ name, shape, init }) => [name, shape, init])
const run = async (y: Tensor, feeds: Values): Promise<readonly number[]> => {
  const result = await pipe(
    reference.compile(frozen(y), { mode: 'sampling' }),
    TE.chain((e) => e.run(feeds)),
  )()
  if (E.isLeft(result)) throw new Error(JSON.stringify(result.left))
  return Array.from(result.right.y?.data ?? [])
}
/** Numbers that look arbitrary, alike for alike names. */
const numbers = (name: string, n: number): Float64Array =>
  Float64Array.from({ length: n }, (_, i) => Math.sin(12.9898 * (i + 1) + 78.233 * name.length + name.charCodeAt(0)))
const weightsOf = (y: Tensor): Values =>
  Object.fromEntries(parameters(frozen(y)).map((p) => [p.name, floats(p.shape, numbers(p.name, size(p.shape)))]))
const expectClose = (a: readonly number[], b: readonly number[]): void => {
  expect(a.length).toBe(b.length)
  a.forEach((v, i) => {
    expect(v).toBeCloseTo(b[i] ?? Number.NaN, 10)
  })
}

describe('parameters are those of PyTorch', () => {
  const picture = input('x', float(2, 32, 6, 4))
  const rows = input('x', float(2, 5, 9))
  const uniform = (fanIn: number) => ({ kind: 'uniform', bound: 1 / Math.sqrt(fanIn) })
  const [zeros, ones] = [{ kind: 'zeros' }, { kind: 'ones' }]
  it.each([
    [
      'conv2d',
      conv2d('c', { out: 8, kernel: 3, padding: 1 })(picture),
      [
        ['c.weight', [8, 32, 3, 3], uniform(288)],
        ['c.bias', [8], uniform(288)],
      ],
    ],
    [
      'conv2d, zero',
      conv2d('c', { out: 8, kernel: 1, init: { kind: 'zeros' } })(picture),
      [
        ['c.weight', [8, 32, 1, 1], zeros],
        ['c.bias', [8], zeros],
      ],
    ],
    [
      'conv1d',
      conv1d('c', { out: 8 })(rows),
      [
        ['c.weight', [8, 5, 1], uniform(5)],
        ['c.bias', [8], uniform(5)],
      ],
    ],
    [
      'linear',
      linear('', { out: 4 })(rows),
      [
        ['weight', [4, 9], uniform(9)],
        ['bias', [4], uniform(9)],
      ],
    ],
    ['linear without bias', linear('', { out: 4, bias: false })(rows), [['weight', [4, 9], uniform(9)]]],
    [
      'groupNorm',
      groupNorm('n')(picture),
      [
        ['n.weight', [32], ones],
        ['n.bias', [32], zeros],
      ],
    ],
    [
      'layerNorm',
      layerNorm('n')(rows),
      [
        ['n.weight', [9], ones],
        ['n.bias', [9], zeros],
      ],
    ],
    [
      'embedding',
      embedding('e', { entries: 7, dim: 3 })(input('i', int(2))),
      [['e.weight', [7, 3], { kind: 'normal', std: 1 }]],
    ],
  ])('%s', (_, y, expected) => expect(declared(y)).toEqual(expected))
})

describe('layers compute what they say', () => {
  it('conv1d is linear over columns, and over the positions of a map', async () => {
    const x = input('x', float(2, 3, 4))
    const columns = conv1d('c', { out: 5 })(x)
    const values: Values = { ...weightsOf(columns), x: floats([2, 3, 4], numbers('x', 24)) }
    const rows = pipe(x, transpose(0, 2, 1), linear('c', { out: 5 }), transpose(0, 2, 1))
    const weight = floats([5, 3], numbers('c.weight', 15))
    expectClose(await run(columns, values), await run(rows, { ...values, 'c.weight': weight }))
    const map = pipe(x, reshape(2, 3, 2, 2), conv1d('c', { out: 5 }))
    expect(map.shape).toEqual([2, 5, 2, 2])
    expectClose(await run(map, values), await run(columns, values))
  })
  it('layerNorm gives every row mean 0 and variance 1', async () => {
    const y = layerNorm('', { eps: 0 })(input('x', float(2, 3, 8)))
    const one = { weight: floats([8], new Float64Array(8).fill(1)), bias: floats([8], new Float64Array(8)) }
    const out = await run(y, { ...one, x: floats([2, 3, 8], numbers('x', 48)) })
    for (const row of [0, 1, 2, 3, 4, 5].map((r) => out.slice(8 * r, 8 * r + 8))) {
      expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 10)
      expect(row.reduce((a, b) => a + b * b, 0)).toBeCloseTo(8, 8)
    }
  })
  it('averagePool2 leaves out an odd last row and column', async () => {
    const x = floats([1, 1, 3, 3], Float64Array.of(1, 2, 90, 3, 6, 90, 90, 90, 90))
    expect(await run(averagePool2(input('x', float(1, 1, 3, 3))), { x })).toEqual([3])
  })
})

describe('dropout', () => {
  const x = input('x', float(2, 500))
  it('is the identity at rate 0', () => expect(dropout('d', 0)(x)).toBe(x))
  it('keeps and scales where the noise lies below the rate kept', () =>
    fc.assert(
      fc.asyncProperty(fc.double({ min: 0.05, max: 0.9, noNaN: true }), async (rate) => {
        const y = dropout('d', rate)(x)
        expect(noises(frozen(y))).toEqual([{ name: 'd.noise', shape: [2, 500], distribution: 'uniform' }])
        const noise = Float64Array.from({ length: 1000 }, (_, i) => ((i * 7919) % 1000) / 1000)
        const ones = floats([2, 500], new Float64Array(1000).fill(1))
        const out = await run(y, { x: ones, 'd.noise': floats([2, 500], noise) })
        expectClose(
          out,
          Array.from(noise, (u) => (u < 1 - rate ? 1 / (1 - rate) : 0)),
        )
      }),
      { numRuns: 10 },
    ))
})

describe('timestep embeddings', () => {
  const at = (layer: (t: Tensor) => Tensor, ...t: readonly number[]) =>
    run(layer(input('t', int(t.length))), { t: ints([t.length], Int32Array.from(t)) })
  it('begin with cosines, slowest frequency 10000^(-(half-1)/half)', async () => {
    expect(await at(timestepEmbedding(4), 0)).toEqual([1, 1, 0, 0])
    const [c0, c1, s0, s1] = await at(timestepEmbedding(4), 3)
    expect([c0, s0]).toEqual([Math.cos(3), Math.sin(3)])
    expect(Math.hypot((c1 ?? 0) - Math.cos(0.03), (s1 ?? 0) - Math.sin(0.03))).toBeLessThan(1e-8)
  })
  it('begin with sines in the other form, slowest frequency 1/10000', async () => {
    expect(await at(getTimestepEmbedding(4), 0)).toEqual([0, 0, 1, 1])
    expect((await at(getTimestepEmbedding(4), 50))[1]).toBeCloseTo(Math.sin(0.005), 8)
  })
  it('end with a zero where the dimension is odd', async () => {
    expect((await at(timestepEmbedding(5), 7)).at(-1)).toBe(0)
    expect((await at(getTimestepEmbedding(5), 7)).at(-1)).toBe(0)
  })
})

describe('attention', () => {
  const reversed = (v: Float64Array, length: number): Float64Array =>
    v.map((_, i) => v[i - (i % length) + length - 1 - (i % length)] ?? 0)
  it.each([
    ['spatialSelfAttention', spatialSelfAttention('')],
    ['attentionBlock', attentionBlock('', { heads: 4, order: 'legacy' })],
    ['attentionBlock, new order', attentionBlock('', { heads: 4, order: 'new' })],
  ])('%s moves with its positions', async (_, layer) => {
    const y = layer(input('x', float(1, 32, 2, 3)))
    const x = numbers('x', 192)
    const there = await run(y, { ...weightsOf(y), x: floats([1, 32, 2, 3], x) })
    const back = await run(y, { ...weightsOf(y), x: floats([1, 32, 2, 3], reversed(x, 6)) })
    expectClose(Array.from(reversed(Float64Array.from(back), 6)), there)
  })
  it.each([32, 96, 192])('divides by the root of %i channels as every Node rounds it, unlike its powers', (width) => {
    const y = attentionBlock('', { heads: 1, order: 'new' })(input('x', float(1, width, 2, 2)))
    const constants = frozen(y)
      .nodes.filter(isNode('constant'))
      .flatMap((n) => n.attributes.data)
    expect(constants).toContain(1 / Math.sqrt(width))
  })
  it('has one meaning in both orders of channels', async () => {
    const x = input('x', float(1, 32, 2, 2))
    const [legacy, modern] = [
      attentionBlock('', { heads: 2, order: 'legacy' })(x),
      attentionBlock('', { heads: 2, order: 'new' })(x),
    ]
    const values: Values = { ...weightsOf(legacy), x: floats([1, 32, 2, 2], numbers('x', 128)) }
    const moved = (data: Float64Array, columns: number) =>
      data.map((_, i) => {
        const [row, column] = [Math.floor(i / columns), i % columns]
        const [third, head, channel] = [Math.floor(row / 32), Math.floor(row / 16) % 2, row % 16]
        return data[((head * 3 + third) * 16 + channel) * columns + column] ?? 0
      })
    const other: Values = {
      ...values,
      'qkv.weight': floats([96, 32, 1], moved(numbers('qkv.weight', 96 * 32), 32)),
      'qkv.bias': floats([96], moved(numbers('qkv.bias', 96), 1)),
    }
    expectClose(await run(modern, other), await run(legacy, values))
  })
  it('does not see what the mask hides', async () => {
    const y = crossAttention('', {
      heads: 2,
      headChannels: 3,
      context: input('c', float(1, 4, 5)),
      mask: input('m', { dtype: 'bool', shape: [1, 4] }),
    })(input('x', float(1, 3, 6)))
    const context = numbers('c', 20)
    const fed = (c: Float64Array): Values => ({
      ...weightsOf(y),
      x: floats([1, 3, 6], numbers('x', 18)),
      c: floats([1, 4, 5], c),
      m: { dtype: 'bool', shape: [1, 4], data: Uint8Array.of(1, 0, 1, 1) },
    })
    const otherwise = (row: number) => context.map((v, i) => (Math.floor(i / 5) === row ? v + 1 : v))
    const plain = await run(y, fed(context))
    expectClose(await run(y, fed(otherwise(1))), plain)
    expect(await run(y, fed(otherwise(2)))).not.toEqual(plain)
  })
})
