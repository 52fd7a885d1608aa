import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fillNormal, key } from '../../src/distributions/random.ts'
import { floats, type Value, type Values } from '../../src/execute/executor.ts'
import { inOrder } from '../../src/execute/onnx/calls.ts'
import { planned } from '../../src/execute/onnx/compile.ts'
import type { Costs } from '../../src/execute/onnx/costs.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { algorithmsOf } from '../../src/execute/onnx/layouts.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { feedTypes, type Graph } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { optimise } from '../../src/transform/index.ts'
import { frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { arbitraryLayer, arbitraryNetwork, type Layer, layerOutputs } from '../arbitrary/convolutions.ts'
import { tolerances } from '../arbitrary/executors.ts'
import { difference, runOn } from '../arbitrary/run.ts'
import { ways } from '../arbitrary/ways.ts'

const feedsOf = (g: Graph, seed: number): Values =>
  Object.fromEntries(
    Object.entries(feedTypes(g)).map(([name, { shape }], i): [string, Value] => {
      const out = new Float32Array(size(shape))
      fillNormal(key(seed + i), out)
      return [name, floats(shape, out)]
    }),
  )
const exact = runOn(reference)
/** As fed, and with the weights that are not trained known beforehand. */
const agrees = async (g: Graph, way: Costs, seed: number, known: boolean): Promise<void> => {
  const feeds = feedsOf(g, seed)
  const constants = known ? Object.fromEntries(Object.entries(feeds).filter(([name]) => name.startsWith('w'))) : {}
  const native = runOn(onnx('cpu', way), { mode: 'training', constants })
  expect(difference(await native(g, feeds), await exact(g, feeds), tolerances['onnx:cpu'].graph)).toBeUndefined()
}

describe.each(ways)('onnx:cpu agrees with the reference %s', (_, way) => {
  test('on layers of any window, weights laid either way, fed or known', () =>
    check(
      fc.asyncProperty(arbitraryLayer, fc.nat(), fc.boolean(), (layer, seed, known) =>
        agrees(frozen(layerOutputs(layer)), way, seed, known),
      ),
      25,
    ))
  test('on networks, their gradients and the weights after a step', () =>
    check(
      fc.asyncProperty(arbitraryNetwork, fc.nat(), (network, seed) =>
        agrees(optimise(frozen(network)), way, seed, false),
      ),
      10,
    ))
})

/** Of a layer's convolution and its two gradients, the algorithms that a way sends them through. */
const layer: Layer = {
  ...{ n: 2, c: 32, o: 16, hwio: true, kernel: [3, 3], stride: [1, 1], padding: [1, 1, 1, 1], result: [4, 4] },
}
const pointwise: Layer = { ...layer, kernel: [1, 1], padding: [0, 0, 0, 0] }
const layers: readonly Layer[] = [
  layer,
  { ...layer, c: 16, o: 32 },
  pointwise,
  { ...layer, stride: [2, 2], result: [2, 2] },
  { ...layer, n: 1 },
  { ...layer, n: 1, c: 16, o: 32 },
]
const chosen = (way: Costs, of: Layer): readonly string[] => {
  const calls = planned(frozen(layerOutputs(of)), { device: 'cpu', mode: 'training', block: 16, costs: way })
  return inOrder(calls).flatMap(({ op, algorithm }) => (algorithm === undefined ? [] : `${op}: ${algorithm}`))
}
test('each way is its own', () => {
  expect(Object.fromEntries(ways.map(([name, way]) => [name, chosen(way, layer)]))).toEqual({
    'over tiles': ['conv2d: minimal', 'convInputGrad: minimal', 'convWeightGrad: minimal'],
    'in blocks, taps gathered': ['conv2d: blocked', 'convInputGrad: blocked', 'convWeightGrad: gathered dy'],
    'transposed, a row of taps at a time': ['conv2d: direct', 'convInputGrad: transposed', 'convWeightGrad: rows'],
    'rotated, taps beside each other': ['conv2d: direct', 'convInputGrad: rotated', 'convWeightGrad: columns of dy'],
  })
})
test('together they go through every algorithm that the CPU has', () => {
  const met = new Set(ways.flatMap(([, way]) => layers.flatMap((of) => chosen(way, of))))
  const all = (['conv2d', 'convInputGrad', 'convWeightGrad'] as const).flatMap((op) =>
    algorithmsOf(op).map((algorithm) => `${op}: ${algorithm}`),
  )
  expect(all.filter((name) => !met.has(name))).toEqual(['conv2d: widened'])
})
