import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fillNormal, key } from '../../src/distributions/random.ts'
import { floats, type Value, type Values } from '../../src/execute/executor.ts'
import { type Costs, measured } from '../../src/execute/onnx/costs.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { lower } from '../../src/execute/onnx/lower.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { feedTypes, type Graph } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { optimise } from '../../src/transform/index.ts'
import { frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { arbitraryLayer, arbitraryNetwork, type Layer, layerOutputs } from '../arbitrary/convolutions.ts'
import { tolerances } from '../arbitrary/executors.ts'
import { difference, runOn } from '../arbitrary/run.ts'

/** What sends arrays of 16 channels and a few positions through every way to compute a convolution. */
const never = Number.POSITIVE_INFINITY
const untiled = {
  tiled: { ...measured.tiled, narrow: never },
  tiledGradient: { ...measured.tiledGradient, narrow: never },
}
const all: Costs = { ...measured, ...untiled, blockedPositions: never, fewChannels: 0, pointwisePositions: 0 }
const costs = {
  'over tiles': {
    ...all,
    tiled: { narrow: 1, wide: 1, fewestTiles: 1, written: never },
    tiledGradient: { narrow: 1, ratio: never, written: never },
  },
  'in blocks, taps gathered': { ...all, blockedPositions: 1, gathered: never },
  'transposed, a row of taps at a time': {
    ...all,
    transposed: { channels: never, positions: never },
    gathered: 0,
    halved: { positions: 1, product: 1 },
  },
  'flipped, taps beside each other': {
    ...all,
    transposed: { channels: 0, positions: 0 },
    fewChannels: 16,
    pointwisePositions: never,
    gathered: 0,
  },
} as const satisfies Readonly<Record<string, Costs>>
const ways = Object.entries(costs)

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

/** The runtime's ops by which a way is told from the others. */
const layer: Layer = {
  ...{ n: 2, c: 32, o: 16, turned: true, kernel: [3, 3], stride: [1, 1], padding: [1, 1, 1, 1], result: [4, 4] },
}
const told = (way: Costs, of: Layer): readonly string[] => {
  const { nodes } = lower(frozen(layerOutputs(of)), { device: 'cpu', mode: 'training', block: 16, costs: way })
  const counted = ['Conv', 'ConvTranspose', 'ReorderInput', 'Gather', 'MatMul', 'FusedMatMul', 'Concat']
  return counted.flatMap((op) => {
    const count = nodes.filter((n) => n.op === op).length
    return count === 0 ? [] : [`${count} ${op}`]
  })
}
test('each way is its own', () => {
  expect(Object.fromEntries(ways.map(([name, way]) => [name, told(way, layer).join(', ')]))).toEqual({
    'over tiles': '5 Gather, 8 MatMul, 2 FusedMatMul',
    'in blocks, taps gathered': '2 Conv, 4 ReorderInput, 5 Gather, 1 FusedMatMul',
    'transposed, a row of taps at a time': '1 Conv, 1 ConvTranspose, 1 ReorderInput, 1 Gather, 3 FusedMatMul, 2 Concat',
    'flipped, taps beside each other': '2 Conv, 1 MatMul, 1 FusedMatMul, 1 Concat',
  })
})
