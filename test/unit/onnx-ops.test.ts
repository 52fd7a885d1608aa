import { describe, expect, test } from 'vitest'
import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import { type Executor, floats, type Values } from '../../src/execute/executor.ts'
import { lower } from '../../src/execute/onnx/compile.ts'
import type { Device } from '../../src/execute/onnx/devices.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import * as web from '../../src/execute/onnx/web.ts'
import { reference } from '../../src/execute/reference/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { float, int, sameShape } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { difference, feedsOf, graphOf, run } from './onnx-support.ts'

const x = (...shape: readonly number[]): Tensor => D.input('x', float(...shape))
const y = (...shape: readonly number[]): Tensor => D.input('y', float(...shape))
const k = (...shape: readonly number[]): Tensor => D.input('k', int(...shape))
const p = (name: string, ...shape: readonly number[]): Tensor => D.parameter('', name, shape, { kind: 'zeros' })
const b = (...shape: readonly number[]): Tensor => D.input('b', { dtype: 'bool', shape })
const positive = (t: Tensor): Tensor => pipe(t, D.abs, D.add(0.5))
type Cases = Readonly<Record<string, Tensor | Readonly<Record<string, Tensor>>>>

const elementwise: Cases = {
  neg: D.neg(x(2, 3)),
  'neg of integers': D.neg(k(5)),
  abs: D.abs(x(2, 3)),
  sign: D.sign(pipe(x(2, 3), D.floor)),
  'sign of integers': D.sign(pipe(k(5), D.sub(1))),
  exp: D.exp(x(7)),
  log: D.log(positive(x(7))),
  sqrt: D.sqrt(positive(x(7))),
  tanh: D.tanh(x(7)),
  sigmoid: D.sigmoid(x(7)),
  erf: D.erf(x(40)),
  sin: D.sin(x(7)),
  cos: D.cos(x(7)),
  floor: D.floor(x(7)),
  silu: D.silu(x(4, 33)),
  'cast to int32': D.cast('int32')(x(7)),
  'cast to bool': D.cast('bool')(k(7)),
  'cast of bool': D.cast('float32')(b(7)),
  add: pipe(x(2, 3), D.add(y(3))),
  'add of integers': pipe(k(2, 3), D.add(7)),
  sub: pipe(x(2, 1, 3), D.sub(y(4, 1))),
  mul: pipe(x(2, 3), D.mul(2.5)),
  'mul of trailing ones': pipe(x(4, 3, 1, 1), D.mul(2.5)),
  'mul of trailing ones by a scalar': pipe(y(1, 1, 1), D.mul(x(4, 3, 1, 1))),
  div: pipe(x(2, 3), D.div(positive(y(2, 3)))),
  maximum: pipe(x(9), D.maximum(y(9))),
  'maximum with 0': D.relu(x(9)),
  'maximum of a scalar and zeros': pipe(x(), D.maximum(D.constant([0], float(3)))),
  minimum: pipe(x(9), D.minimum(0.25)),
  equal: pipe(k(9), D.equal(1)),
  'equal floats': pipe(x(9), D.floor, D.equal(pipe(y(9), D.floor))),
  less: pipe(x(2, 3), D.less(y(3))),
  'less of integers': pipe(k(9), D.less(1)),
  select: pipe(b(2, 1), D.select(x(3), y(2, 3))),
  'select of bools': pipe(b(4), D.select(pipe(x(4), D.less(0)), pipe(y(4), D.less(0)))),
  'select of integers': pipe(b(4), D.select(k(4), 9)),
  'select between numbers': pipe(x(4), D.less(0), D.select(D.scalar(0.2), D.scalar(1))),
  'select between numbers, broadcast': pipe(b(4), D.select(D.scalar(0.3), D.constant([-7], float(3, 4)))),
  'constant of many': D.constant([1, 2, 3, 4], int(2, 2)),
  'constant, large': pipe(D.constant([0.5], float(40, 50)), D.transpose(1, 0)),
  'a broadcast operand': pipe(x(3), D.broadcast(2, 3), D.add(y(2, 3))),
  'two broadcast operands': pipe(x(3), D.broadcast(2, 3), D.add(pipe(y(3), D.broadcast(2, 3)))),
  'a broadcast scalar': pipe(x(2, 3), D.add(pipe(D.scalar(2), D.broadcast(2, 3)))),
  stopGradient: D.stopGradient(D.neg(x(3))),
  mark: D.claims('raw latents')(D.neg(x(3))),
  recompute: D.recompute(D.neg(x(3))),
  barrier: pipe(D.neg(x(3)), D.barrier(D.neg(y(2, 2)))),
  'recompute of a SiLU': pipe(D.silu(x(3)), D.mul(D.recompute(D.silu(x(3))))),
}

const reductions: Cases = {
  sum: D.sum()(x(2, 3, 4)),
  'sum of some': D.sum({ axes: [0, 2] })(x(2, 3, 4)),
  'sum of some, kept': D.sum({ axes: [1], keepDims: true })(x(2, 3, 4)),
  'sum of none': D.sum({ axes: [] })(x(2, 3)),
  'sum of integers': D.sum({ axes: [1] })(k(2, 3)),
  reduceMax: D.reduceMax({ axes: [1] })(x(2, 3, 4)),
  'reduceMax, kept': D.reduceMax({ axes: [0, 1], keepDims: true })(x(2, 3, 4)),
  'reduceMax of integers': D.reduceMax()(k(2, 3)),
  argMax: D.argMax(1)(x(4, 5)),
  'argMax of equals': D.argMax(0)(k(9)),
  argMin: D.argMin(0)(x(4, 5)),
  softmax: D.softmax(1)(x(2, 5)),
  'softmax over the middle': D.softmax(1)(x(2, 5, 3)),
  matmul: pipe(x(2, 3), D.matmul(y(3, 4))),
  'matmul, a transposed': pipe(x(3, 2), D.matmul(y(3, 4), { transposeA: true })),
  'matmul, b transposed': pipe(x(2, 3), D.matmul(y(4, 3), { transposeB: true })),
  'matmul, both transposed': pipe(x(3, 2), D.matmul(y(4, 3), { transposeA: true, transposeB: true })),
  'matmul, batched': pipe(x(2, 5, 3, 4), D.matmul(y(2, 5, 6, 4), { transposeB: true })),
  'matmul, batched, a transposed': pipe(x(5, 4, 3), D.matmul(y(5, 4, 6), { transposeA: true })),
  'matmul, batches broadcast': pipe(x(2, 1, 4, 3), D.matmul(y(5, 4, 6), { transposeA: true })),
  'matmul by one matrix': pipe(x(2, 5, 3), D.matmul(y(4, 3), { transposeB: true })),
  'matmul of one matrix': pipe(x(3, 2), D.matmul(y(5, 3, 4), { transposeA: true })),
}

const movement: Cases = {
  reshape: D.reshape(3, 2)(x(2, 3)),
  transpose: D.transpose(2, 0, 1)(x(2, 3, 4)),
  'transpose of bools': D.transpose(1, 0)(b(2, 3)),
  slice: D.slice([0, 1], [2, 2])(x(2, 4)),
  'slice of a scalar': D.slice([], [])(x()),
  'slice of bools': D.slice([1], [2])(b(4)),
  pad: D.pad([1, 0], [0, 2])(x(2, 3)),
  'pad by nothing': D.pad([0, 0], [0, 0])(D.neg(x(2, 3))),
  'pad of integers': D.pad([1], [2])(k(3)),
  'pad of bools': D.pad([1], [2])(b(3)),
  concat: D.concat(1, x(2, 3), y(2, 1), x(2, 3)),
  'concat of integers': D.concat(0, k(2), k(2)),
  broadcast: D.broadcast(2, 4, 3)(x(4, 1)),
  'broadcast of bools': D.broadcast(2, 3)(b(3)),
  gather: pipe(x(3, 2), D.gather(k(4))),
  'gather by a grid': pipe(x(3, 2, 2), D.gather(k(4, 2))),
  'gather of integers': pipe(D.integers([5, 6, 7]), D.gather(k(4))),
  scatterAdd: pipe(y(7, 2), D.scatterAdd(k(7), 3)),
  'scatterAdd by a grid': pipe(y(4, 3, 2, 2), D.scatterAdd(k(4, 3), 5)),
  'scatterAdd of scalars': pipe(y(7), D.scatterAdd(k(7), 3)),
  upsampleNearest: D.upsampleNearest(2, 3)(x(2, 2, 2, 3)),
  maxPool: D.maxPool(2, 3)(x(2, 2, 4, 3)),
  'sum of an upsampling': D.sum({ axes: [3, 5] })(x(2, 2, 2, 2, 3, 3)),
}

const grouping = { groups: 2, eps: 1e-5 }
const [gamma, beta] = [p('norm.weight', 4), p('norm.bias', 4)]
const normalisation: Cases = {
  groupNorm: D.groupNorm(gamma, beta, grouping)(x(2, 4, 3, 5)),
  'groupNorm, recomputed': pipe(D.groupNorm(gamma, beta, grouping)(x(2, 4, 3, 5)), (y) =>
    pipe(D.silu(y), D.mul(D.recompute(D.silu(y))), D.sub(D.recompute(y))),
  ),
  'groupNorm of a sequence': D.groupNorm(gamma, beta, { groups: 1, eps: 1e-5 })(x(3, 4)),
  'groupNorm, sharing': {
    norm: D.groupNorm(gamma, beta, grouping)(x(2, 4, 3, 5)),
    standard: D.standardize(grouping)(x(2, 4, 3, 5)),
    rstd: D.groupRstd(grouping)(x(2, 4, 3, 5)),
  },
  standardize: D.standardize({ groups: 4, eps: 1e-6 })(x(2, 4, 6)),
  groupRstd: D.groupRstd(grouping)(x(2, 4, 6)),
}

const window = (stride: number, ...padding: readonly [number, number, number, number]): D.Window => ({
  stride: [stride, stride],
  padding,
})
/** Geometries that meet every row of the lowering tables. */
const geometries: Readonly<Record<string, readonly [x: number[], w: number[], window: D.Window]>> = {
  '3x3': [[2, 12, 10, 9], [20, 12, 3, 3], window(1, 1, 1, 1, 1)],
  '3x3, wide map': [[1, 20, 9, 8], [20, 20, 3, 3], window(1, 1, 1, 1, 1)],
  '3x3, small map': [[2, 20, 4, 4], [24, 20, 3, 3], window(1, 1, 1, 1, 1)],
  '3x3, fewer out': [[2, 20, 9, 9], [10, 20, 3, 3], window(1, 1, 1, 1, 1)],
  '3x3, few in': [[2, 3, 9, 9], [10, 3, 3, 3], window(1, 1, 1, 1, 1)],
  '3x3, few out': [[2, 20, 9, 9], [3, 20, 3, 3], window(1, 1, 1, 1, 1)],
  '1x1': [[2, 5, 9, 8], [6, 5, 1, 1], window(1, 0, 0, 0, 0)],
  '1x1, padded below and right': [[2, 5, 9, 8], [6, 5, 1, 1], window(1, 0, 0, 1, 1)],
  'as large as the picture, padded below and right': [[2, 3, 3, 2], [4, 3, 3, 2], window(1, 0, 0, 1, 2)],
  '1x1, small map': [[2, 20, 4, 4], [6, 20, 1, 1], window(1, 0, 0, 0, 0)],
  'stride 2': [[2, 12, 9, 8], [13, 12, 3, 3], window(2, 1, 1, 1, 1)],
  'stride 2, padded below and right': [[2, 12, 8, 8], [12, 12, 3, 3], window(2, 0, 0, 1, 1)],
  'stride 2, few in': [[2, 3, 9, 8], [12, 3, 4, 4], window(2, 1, 1, 1, 1)],
  'stride 2, 1x1': [[2, 12, 9, 9], [13, 12, 1, 1], window(2, 0, 0, 0, 0)],
  uneven: [[1, 18, 9, 10], [9, 18, 3, 2], { stride: [1, 2], padding: [0, 1, 2, 0] }],
  'padded beyond the kernel': [[1, 18, 9, 10], [19, 18, 2, 2], window(1, 2, 2, 2, 2)],
  'of whole blocks': [[4, 16, 18, 16], [32, 16, 3, 3], window(1, 1, 1, 1, 1)],
  'of whole blocks, uneven': [[4, 32, 17, 16], [16, 32, 3, 2], { stride: [1, 1], padding: [0, 1, 2, 0] }],
  'of whole blocks, stride 2': [[4, 16, 36, 34], [16, 16, 4, 3], window(2, 1, 1, 1, 1)],
  'no padding': [[1, 17, 9, 10], [19, 17, 4, 4], window(1, 0, 0, 0, 0)],
}
const convolution: Cases = Object.fromEntries(
  Object.entries(geometries).flatMap(([name, [from, weight, w]]) => {
    const [input, kernel] = [x(...from), p('conv.weight', ...weight)]
    const result = D.conv2d(kernel, w)(input)
    const dy = y(...result.shape)
    return [
      [`conv2d ${name}`, result],
      [`convInputGrad ${name}`, D.convInputGrad(kernel, from.slice(2), w)(dy)],
      [`convWeightGrad ${name}`, D.convWeightGrad(input, weight.slice(2), w)(dy)],
    ] as const
  }),
)
const gradientOf = (n: number, c: number, o: number, side: number): Tensor =>
  D.convWeightGrad(x(n, c, side, side), [3, 3], window(1, 1, 1, 1, 1))(y(n, o, side, side))
/** Read in another shape than the runtime makes them in. */
const asMade: Cases = {
  'convWeightGrad as it is made, over tiles': D.transpose(2, 3, 1, 0)(gradientOf(2, 16, 24, 4)),
  'convWeightGrad as it is made, of few channels': {
    dw: D.transpose(2, 3, 1, 0)(gradientOf(2, 3, 10, 5)),
    again: pipe(gradientOf(2, 3, 10, 5), D.transpose(2, 3, 1, 0), D.reshape(9, 30)),
  },
}
const conv = D.conv2d(p('conv.weight', 6, 4, 3, 3), window(1, 1, 1, 1, 1))(x(2, 4, 5, 5))
const wide = D.conv2d(p('conv.weight', 16, 16, 3, 3), window(1, 1, 1, 1, 1))(x(4, 16, 17, 16))
const biases: Cases = {
  'conv2d of whole blocks with bias': pipe(wide, D.add(D.reshape(16, 1, 1)(p('conv.bias', 16)))),
  'conv2d with bias': pipe(conv, D.add(D.reshape(6, 1, 1)(p('conv.bias', 6)))),
  'conv2d with bias first': pipe(D.reshape(1, 6, 1, 1)(p('conv.bias', 6)), D.add(conv)),
  'conv2d with a computed bias': pipe(conv, D.add(D.neg(p('conv.bias', 1, 6, 1, 1)))),
  'conv2d read twice': { conv, biased: pipe(conv, D.add(D.reshape(6, 1, 1)(p('conv.bias', 6)))) },
  'conv2d with a bias an item': pipe(conv, D.add(D.reshape(2, 6, 1, 1)(p('conv.bias', 2, 6)))),
}
const rectifiedWide = D.relu(pipe(wide, D.add(D.reshape(16, 1, 1)(p('conv.bias', 16)))))
const again = D.conv2d(p('again.weight', 16, 16, 3, 3), window(1, 1, 1, 1, 1))
const flat = D.conv2d(p('flat.weight', 16, 16, 1, 3), window(1, 0, 1, 0, 1))(y(4, 16, 1, 16))
const inBlocks: Cases = {
  'ReLU between blocked convolutions': again(rectifiedWide),
  'ReLU that others read too': { r: rectifiedWide, next: again(rectifiedWide), conv: wide },
  'the gradient of such a chain': again(
    pipe(rectifiedWide, D.greater(0), D.select(again(y(4, 16, 17, 16)), D.zerosLike(rectifiedWide))),
  ),
  'a choice of blocked convolutions, one broadcast': again(pipe(wide, D.greater(0), D.select(wide, flat))),
}
const edges: Cases = {
  'one result under two names': { a: D.neg(x(3)), b: D.neg(x(3)), c: D.exp(x(3)) },
  'a leaf as output': { a: x(3), b: x(3), 'y/z.0': D.stopGradient(y(2)) },
  'an output that others read': { a: D.neg(x(3)), b: pipe(x(3), D.neg, D.exp) },
  'a constant as output': { a: D.vector([1, 2]), b: D.scalar(3) },
  'a scalar': pipe(x(), D.mul(3)),
  noise: pipe(D.noise('eps/0', [2, 3]), D.mul(2)),
  'a leaf that nothing reads': { a: D.neg(x(3)), b: D.mul(0)(p('unused', 2)) },
}

const cases: Cases = {
  ...elementwise,
  ...reductions,
  ...movement,
  ...normalisation,
  ...convolution,
  ...asMade,
  ...biases,
  ...inBlocks,
  ...edges,
}
const isTensor = (t: Tensor | Readonly<Record<string, Tensor>>): t is Tensor => 'args' in t && Array.isArray(t.args)
const graphs = Object.fromEntries(
  Object.entries(cases).map(([name, t]) => [name, graphOf(isTensor(t) ? { out: t } : t)] as const),
)

test('every op kind has a case', () => {
  const met = new Set(Object.values(graphs).flatMap((g) => g.nodes.map((n) => n.op)))
  expect(opKinds.filter((kind) => !met.has(kind))).toEqual([])
})

/** Relative to the largest element: some roundings, and on a GPU those of a thousand additions one after another. */
const limits = { cpu: 2e-6, wasm: 2e-6, webgpu: 1e-5 }

const faults = (device: Device, got: Values, expected: Values): readonly string[] =>
  Object.entries(expected).flatMap(([name, value]) => {
    const found = got[name]
    const fits = found?.dtype === value.dtype && sameShape(found.shape, value.shape)
    const limit = value.dtype === 'float32' ? limits[device] : 0
    return fits && difference(found, value) <= limit ? [] : [`${name}: ${fits ? difference(found, value) : 'type'}`]
  })

describe('onnx:cpu agrees with the reference', () => {
  test.each(Object.entries(graphs))('%s', async (_, g) => {
    const expected = await run(reference, g, feedsOf(g))
    for (const mode of ['training', 'sampling'] as const) {
      const got = await run(onnx('cpu'), g, feedsOf(g), { mode })
      expect(Object.keys(got).toSorted()).toEqual(Object.keys(expected).toSorted())
      expect(faults('cpu', got, expected)).toEqual([])
    }
  })
})

test('a chain of blocked convolutions is put into blocks once, and ReLU is part of the first', () => {
  const g = graphs['ReLU between blocked convolutions']
  const ops = g && lower(g, { device: 'cpu', mode: 'training', block: 16 }).nodes.map(({ op }) => op)
  const weights = 2
  expect(ops?.filter((op) => op === 'ReorderInput').length).toBe(1 + weights)
  expect(ops?.filter((op) => op === 'ReorderOutput').length).toBe(1)
  expect(ops).not.toContain('Relu')
})

test('a blocked convolution of which others read a view is computed once', () => {
  const rectifiedView = pipe(wide, D.reshape(64, 272), D.reshape(4, 16, 17, 16), D.relu)
  const { nodes } = lower(graphOf({ wide, rectifiedView }), { device: 'cpu', mode: 'training', block: 16 })
  expect(nodes.filter(({ op }) => op === 'Conv').length).toBe(1)
})

test('a chain of choices between blocked convolutions is lowered one by one', () => {
  const first = D.conv2d(p('conv.weight', 16, 16, 3, 3), window(1, 1, 1, 1, 1))(x(4, 16, 17, 16))
  const chain = Array.from({ length: 50 }).reduce<Tensor>(
    (y, _, i) => pipe(y, D.less(-i), D.select(D.scalar(i), y)),
    first,
  )
  expect(lower(graphOf({ y: again(chain) }), { device: 'cpu', mode: 'training', block: 16 }).nodes.length).toBeLessThan(
    150,
  )
})

/** Sums over so many positions that the CPU makes them in another way. */
const largeMaps: typeof geometries = {
  'a large map': [[2, 10, 90, 90], [10, 10, 4, 4], window(1, 1, 2, 0, 1)],
  'a large map, few out': [[2, 17, 96, 90], [16, 17, 3, 3], window(1, 1, 1, 1, 1)],
  'a large map of one item': [[1, 17, 128, 136], [16, 17, 3, 3], window(1, 1, 1, 1, 1)],
}
test.each(Object.entries(largeMaps))('convWeightGrad of %s on onnx:cpu agrees too', async (_, [from, weight, w]) => {
  const shape = D.conv2d(p('conv.weight', ...weight), w)(x(...from)).shape
  const g = graphOf({ out: D.convWeightGrad(x(...from), weight.slice(2), w)(y(...shape)) })
  const expected = await run(reference, g, feedsOf(g))
  expect(faults('cpu', await run(onnx('cpu'), g, feedsOf(g)), expected)).toEqual([])
})

/** Many graphs as one, so that a GPU is set up once; every name is prefixed by the graph's. */
const beside = (all: Readonly<Record<string, Graph>>): Graph =>
  Object.entries(all).reduce<Graph>(
    ({ nodes, outputs }, [name, g]) => ({
      nodes: [
        ...nodes,
        ...g.nodes.map((n) => ({
          ...n,
          attributes: 'name' in n.attributes ? { ...n.attributes, name: `${name}/${n.attributes.name}` } : n.attributes,
          operands: n.operands.map((i) => i + nodes.length),
        })),
      ],
      outputs: {
        ...outputs,
        ...Object.fromEntries(Object.entries(g.outputs).map(([o, i]) => [`${name}/${o}`, i + nodes.length])),
      },
    }),
    { nodes: [], outputs: {} },
  )

await suiteOn('onnx:webgpu', 'onnx:webgpu agrees with the reference', (webgpu) => {
  test('on all of these', async () => {
    const g = beside(graphs)
    expect(faults('webgpu', await run(webgpu, g, feedsOf(g)), await run(reference, g, feedsOf(g)))).toEqual([])
  })
})

/** Its WebAssembly runs in Node too; browsers have the same. */
describe("onnx:wasm, onnxruntime-web's, agrees with the reference on all of these", () => {
  const wasm = web.onnx('wasm', () => import('onnxruntime-web'))
  test.each(['training', 'sampling'] as const)('%s', async (mode) => {
    const g = beside(graphs)
    expect(faults('wasm', await run(wasm, g, feedsOf(g), { mode }), await run(reference, g, feedsOf(g)))).toEqual([])
  })
})

const exponential = (executor: Executor): void => {
  const exps = async (x: Float32Array): Promise<readonly number[]> => {
    const { y } = await run(executor, graphOf({ y: D.exp(D.input('x', float(x.length))) }), {
      x: floats([x.length], x),
    })
    return Array.from(y?.data ?? [])
  }
  test('is good to the last places', async () => {
    const x = Float32Array.from({ length: 2001 }, (_, i) => -87 + (175.7 * i) / 2000)
    const y = await exps(x)
    expect(Math.max(...Array.from(x, (v, i) => Math.abs((y[i] ?? Number.NaN) / Math.exp(v) - 1)))).toBeLessThan(3e-7)
  })
  test('ends in 0 and infinity, and leaves what is no number', async () => {
    const x = Float32Array.of(-Infinity, -110, 0, 89, Infinity, Number.NaN)
    expect(await exps(x)).toEqual([0, 0, 1, Infinity, Infinity, Number.NaN])
  })
}
for (const name of ['onnx:cpu', 'onnx:webgpu'] as const) await suiteOn(name, `the exponential on ${name}`, exponential)
