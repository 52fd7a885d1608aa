import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { rewrites } from '../../src/execute/onednn/compile.ts'
import { measured as oneDnn } from '../../src/execute/onednn/costs.ts'
import { type Algorithms, inOrder } from '../../src/execute/onnx/calls.ts'
import { lower, planned, staged } from '../../src/execute/onnx/compile.ts'
import { measured } from '../../src/execute/onnx/costs.ts'
import { through } from '../../src/execute/passes.ts'
import { partsIn } from '../../src/execute/stages.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { graphOf } from './onnx-support.ts'

/** A convolution, 3x3 at stride 1 where nothing else is said: x[n, c, side, side] to o channels on maps as large. */
interface Convolution {
  readonly n?: number
  readonly c: number
  readonly o: number
  readonly side: number | readonly [number, number]
  readonly kernel?: number
  readonly stride?: number
  /** How its weight is known: fed, fed as [h, w, C, O], or beforehand. */
  readonly weight?: 'fed' | 'hwio' | 'baked'
}
const target = { device: 'cpu', mode: 'training', block: 16 } as const
const chosen = ({ n = 1, c, o, side, kernel = 3, stride = 1, weight = 'fed' }: Convolution) => {
  const [h, w] = typeof side === 'number' ? [side, side] : side
  const edge = (kernel - 1) / 2
  const window: D.Window = { stride: [stride, stride], padding: [edge, edge, edge, edge] }
  const [x, zeros] = [D.input('x', float(n, c, h, w)), { kind: 'zeros' } as const]
  const own =
    weight === 'hwio'
      ? pipe(D.parameter('', 'w', [kernel, kernel, c, o], zeros), D.transpose(3, 2, 0, 1))
      : D.parameter('', 'w', [o, c, kernel, kernel], zeros)
  const y = D.conv2d(own, window)(x)
  const dy = D.input('dy', float(...y.shape))
  const graph = graphOf({
    y,
    dx: D.convInputGrad(own, [h, w], window)(dy),
    dw: D.convWeightGrad(x, [kernel, kernel], window)(dy),
  })
  const calls = inOrder(planned(graph, target, weight === 'baked' ? ['w'] : []))
  const of = (op: keyof Algorithms) => calls.find((call) => call.op === op)?.algorithm
  return { y: of('conv2d'), dx: of('convInputGrad'), dw: of('convWeightGrad') }
}

/** On both sides of each number in `costs.ts`, and of each condition in `choose.ts`. */
describe('where one algorithm ends and the next begins', () => {
  const cases: readonly (readonly [string, Convolution, Partial<ReturnType<typeof chosen>>])[] = [
    ['128 positions are worth blocks', { n: 2, c: 32, o: 32, side: 8 }, { y: 'blocked', dx: 'blocked' }],
    ['fewer are not', { n: 1, c: 32, o: 32, side: [1, 127] }, { y: 'direct', dx: 'rotated' }],
    ['but where the weight is known', { c: 32, o: 32, side: 8, weight: 'baked' }, { y: 'blocked', dx: 'blocked' }],
    ['blocks take whole blocks of channels of x', { n: 2, c: 24, o: 32, side: 8 }, { y: 'direct', dx: 'transposed' }],
    ['and of y', { n: 2, c: 32, o: 24, side: 8 }, { y: 'direct' }],
    ['no blocks for one tap', { n: 2, c: 32, o: 32, side: 8, kernel: 1 }, { y: 'direct', dx: 'rotated' }],
    ['gradients over strides are transposed', { c: 32, o: 32, side: 16, stride: 2 }, { dx: 'transposed' }],
    ['to few channels', { c: 16, o: 12, side: 12 }, { dx: 'transposed' }],
    ['to more', { c: 17, o: 12, side: 12 }, { dx: 'rotated' }],
    ['on few positions, from more than 16 channels', { c: 40, o: 17, side: 8 }, { dx: 'transposed' }],
    ['from 16', { c: 40, o: 16, side: 8 }, { dx: 'rotated' }],
    ['on more positions', { c: 40, o: 17, side: [5, 13] }, { dx: 'rotated' }],
    ['wide convolutions over tiles', { c: 128, o: 256, side: 16, weight: 'hwio' }, { y: 'minimal', dx: 'minimal' }],
    ['of whatever side is the wide one', { c: 256, o: 128, side: 16, weight: 'hwio' }, { y: 'minimal', dx: 'minimal' }],
    ['of weights known beforehand', { c: 128, o: 256, side: 16, weight: 'baked' }, { y: 'minimal', dx: 'minimal' }],
    ['not of weights fed as declared', { c: 128, o: 256, side: 16 }, { y: 'blocked', dx: 'blocked' }],
    ['not a narrower one', { c: 127, o: 256, side: 16, weight: 'hwio' }, { y: 'direct', dx: 'rotated' }],
    ['nor one less wide', { c: 128, o: 255, side: 16, weight: 'hwio' }, { y: 'direct', dx: 'rotated' }],
    ['nor on fewer tiles', { c: 128, o: 256, side: [2, 126], weight: 'hwio' }, { y: 'blocked', dx: 'blocked' }],
    ['nor on maps of odd sides', { c: 128, o: 256, side: [16, 17], weight: 'hwio' }, { y: 'blocked', dx: 'blocked' }],
    ['up to so many numbers', { c: 128, o: 256, side: [2, 1170], weight: 'hwio' }, { y: 'minimal', dx: 'minimal' }],
    ['not beyond', { c: 128, o: 256, side: [2, 1172], weight: 'hwio' }, { y: 'blocked', dx: 'blocked' }],
    ['weight gradients over tiles from 16 channels', { c: 16, o: 16, side: 8 }, { dw: 'minimal' }],
    ['not of fewer', { c: 16, o: 15, side: 8 }, { dw: 'gathered dy' }],
    ['nor of fewer of x', { c: 15, o: 16, side: 8 }, { dw: 'gathered x' }],
    ['while x has no more tiles than dy saves', { c: 16, o: 16, side: [32, 32] }, { dw: 'minimal' }],
    ['not where it has', { c: 16, o: 16, side: [32, 34] }, { dw: 'gathered x' }],
    ['up to so many numbers of tiles', { c: 64, o: 256, side: [2, 2050] }, { dw: 'minimal' }],
    ['beyond, gathered', { c: 64, o: 256, side: [2, 2052] }, { dw: 'gathered x' }],
    ['of more channels, shifted', { c: 128, o: 128, side: [2, 4104] }, { dw: 'shifted x' }],
    ['a row of taps at a time for several items', { n: 2, c: 128, o: 128, side: [2, 2054] }, { dw: 'rows' }],
    ['shifting the side of fewer channels', { c: 144, o: 128, side: [2, 4104] }, { dw: 'shifted dy' }],
    ['few channels of x side by side', { c: 8, o: 32, side: 8 }, { dw: 'columns of x' }],
    ['no more than eight', { c: 9, o: 32, side: 8 }, { dw: 'gathered x' }],
    ['of dy too', { c: 32, o: 8, side: 8 }, { dw: 'columns of dy' }],
    ['of it no more either', { c: 32, o: 9, side: 8 }, { dw: 'gathered dy' }],
    ['not over strides', { c: 32, o: 8, side: 8, stride: 2 }, { dw: 'gathered x' }],
    ['one tap, on more positions than 64', { c: 32, o: 32, side: [5, 13], kernel: 1 }, { dw: 'positions' }],
    ['on 64', { c: 32, o: 32, side: 8, kernel: 1 }, { dw: 'gathered x' }],
    ['gathered up to so many numbers', { c: 12, o: 12, side: [22, 1010] }, { dw: 'gathered x' }],
    ['not beyond', { c: 12, o: 12, side: [22, 1011] }, { dw: 'shifted x' }],
    ['of dy up to as many', { c: 14, o: 12, side: [22, 1010] }, { dw: 'gathered dy' }],
    ['of dy not beyond', { c: 14, o: 12, side: [22, 1011] }, { dw: 'shifted dy' }],
  ]
  test.each(cases)('%s: %j', (_, of, expected) => expect(chosen(of)).toMatchObject(expected))
})

/** ONNX Runtime's WebGPU makes a product of such a convolution and forgets its padding. */
describe('where a convolution is a product, its map is widened first', () => {
  const algorithm = (device: 'cpu' | 'webgpu', kernel: number, padding: D.Window['padding']) => {
    const w = D.parameter('', 'w', [8, 4, kernel, kernel], { kind: 'zeros' })
    const y = pipe(D.input('x', float(1, 4, 5, 5)), D.conv2d(w, { stride: [1, 1], padding }))
    const calls = inOrder(planned(graphOf({ y }), { device, mode: 'sampling', block: null }))
    return calls.find(({ op }) => op === 'conv2d')?.algorithm
  }
  test.each([
    ['one tap, padded behind', 'webgpu', 1, [0, 0, 1, 0], 'widened'],
    ['a kernel as large as the map', 'webgpu', 5, [0, 0, 0, 2], 'widened'],
    ['not one that is smaller', 'webgpu', 3, [0, 0, 1, 1], 'direct'],
    ['nor where nothing is padded', 'webgpu', 1, [0, 0, 0, 0], 'direct'],
    ['nor padded before', 'webgpu', 1, [1, 0, 1, 0], 'direct'],
    ['nor on the CPU', 'cpu', 1, [0, 0, 1, 0], 'direct'],
  ] as const)('%s', (_, device, kernel, padding, expected) => expect(algorithm(device, kernel, padding)).toBe(expected))
})

describe('what is decided of sums and of attention', () => {
  /** Whether a sum over positions, of a product of o by c numbers, is made in two parts. */
  const inTwo = (c: number, o: number, positions: number): boolean => {
    const x = D.input('x', float(1, c, 1, positions))
    const dy = D.input('dy', float(1, o, 1, positions))
    const dw = D.convWeightGrad(x, [1, 3], { stride: [1, 1], padding: [0, 1, 0, 1] })(dy)
    const { initializers } = lower(graphOf({ dw }), { ...target, costs: { ...measured, gathered: 0 } })
    return initializers.some(
      ({ value }) => value.kind === 'constant' && value.data.join() === `2,${positions / 2},${c}`,
    )
  }
  test.each([
    ['2048 positions are two parts', [12, 12, 2048], true],
    ['fewer are one', [12, 12, 2046], false],
    ['but of a large product', [128, 128, 512], true],
    ['not of a smaller one', [127, 128, 512], false],
    ['an odd number is one', [12, 12, 2049], false],
  ] as const)('%s', (_, [c, o, positions], expected) => expect(inTwo(c, o, positions)).toBe(expected))

  const attention = (keys: number, mode: 'sampling' | 'training', device: 'cpu' | 'wasm' | 'webgpu' = 'cpu') => {
    const [q, k, v] = [
      D.input('q', float(2, 1000, 4)),
      D.input('k', float(2, keys, 4)),
      D.input('v', float(2, keys, 3)),
    ]
    const y = pipe(q, D.matmul(k, { transposeB: true }), D.softmax(-1), D.matmul(v))
    const calls = inOrder(planned(graphOf({ y }), { device, mode, block: null }))
    return calls.find(({ op }) => op === 'attention')?.algorithm
  }
  test('attention is streamed from 4,000,000 scores on, when sampling, where there is such a kernel', () => {
    expect([attention(2000, 'sampling'), attention(1999, 'sampling')]).toEqual(['streamed', 'whole'])
    expect(attention(2000, 'training')).toBe('whole')
    expect([attention(2000, 'sampling', 'wasm'), attention(2000, 'sampling', 'webgpu')]).toEqual(['whole', 'whole'])
  })
})

describe('where an enlarged map is convolved by phases', () => {
  type Mode = 'sampling' | 'training'
  const convolutions = (nodes: Graph['nodes']): number => nodes.filter((n) => n.op === 'conv2d').length
  const onOnnx = (graph: Graph, mode: Mode): number =>
    convolutions(partsIn(staged(graph, { device: 'cpu', mode, threads: 2 }, ['w'])).flatMap(({ nodes }) => nodes))
  const onOneDnn = (graph: Graph, mode: Mode): number =>
    convolutions(through(rewrites({ mode, baked: new Set(['w']) }, oneDnn))(graph).nodes)
  describe.each([
    ['onnx', 32, onOnnx],
    ['onednn', 16, onOneDnn],
  ] as const)('on %s', (_, least, counted) => {
    const enlarged = (c: number, kernel: readonly [number, number], mode: Mode = 'sampling') => {
      const [kh, kw] = kernel
      const w = D.parameter('', 'w', [8, c, ...kernel], { kind: 'zeros' })
      const padding = [
        Math.floor(kh / 2),
        Math.floor(kw / 2),
        Math.floor((kh - 1) / 2),
        Math.floor((kw - 1) / 2),
      ] as const
      const y = pipe(D.input('x', float(1, c, 4, 4)), D.upsampleNearest(2, 2), D.conv2d(w, { stride: [1, 1], padding }))
      return counted(graphOf({ y }), mode)
    }
    test(`from ${least} channels on`, () =>
      expect([enlarged(least - 1, [3, 3]), enlarged(least, [3, 3])]).toEqual([1, 4]))
    test('up to 0.6 of the products', () => expect([enlarged(least, [2, 2]), enlarged(least, [3, 1])]).toEqual([4, 1]))
    test('of at most 4 million weights', () =>
      expect([enlarged(55_555, [3, 3]), enlarged(55_556, [3, 3])]).toEqual([4, 1]))
    test('not in training', () => expect(enlarged(least, [3, 3], 'training')).toBe(1))
  })
})
