import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Executor, Values } from '../../src/execute/executor.ts'
import { by, finishings, type How } from '../../src/execute/onednn/compile.ts'
import { type Costs, measured, reckonedOfAvx512 } from '../../src/execute/onednn/costs.ts'
import { decisions } from '../../src/execute/onednn/decide.ts'
import { onednnBy } from '../../src/execute/onednn/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { type Half, halves } from '../../src/graph/types.ts'
import { optimise, precision } from '../../src/transform/index.ts'
import { frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { arbitraryLayer, arbitraryNetwork, layerOutputs } from '../arbitrary/convolutions.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { difference, runOn } from '../arbitrary/run.ts'
import { feedsOf } from '../unit/onnx-support.ts'

interface Fed {
  readonly graph: Graph
  readonly feeds: Values
}
const fed = (outputs: Parameters<typeof frozen>[0]): Fed => {
  const graph = optimise(frozen(outputs))
  return { graph, feeds: feedsOf(graph) }
}
const layers = arbitraryLayer.map((layer) => fed(layerOutputs(layer)))
const networks = arbitraryNetwork.map(fed)
/** Operands and what lies between products in half precision; sums, which leave, in float32. */
const inHalves = ({ graph, feeds }: Fed, half: Half): Fed => ({ graph: precision(half)(graph), feeds })

const always = { narrow: 1, wide: 1, tiles: 1 }
const never = { narrow: Number.POSITIVE_INFINITY, wide: 1, tiles: 1 }
/** Costs that send small arrays through every way: tiles an item at a time, every loop and product shared out. */
const everywhere: Costs = {
  ...measured,
  minimal: { conv2d: always, convInputGrad: always, convWeightGrad: always },
  tiledBytes: 1,
  worthCutting: { flops: 0, operations: 0 },
}
const ways: readonly (readonly [string, Costs])[] = [
  ['minimal filtering, an item at a time', everywhere],
  ['minimal filtering, all at once', { ...everywhere, tiledBytes: Number.POSITIVE_INFINITY }],
  ['primitives', { ...everywhere, minimal: { conv2d: never, convInputGrad: never, convWeightGrad: never } }],
]
const exact = runOn(reference)
const isAsReference = async (executor: Executor, { graph, feeds }: Fed, threads = 2): Promise<void> => {
  const found = await runOn(executor, { mode: 'training', threads })(graph, feeds)
  expect(difference(found, await exact(graph, feeds), 1e-4)).toBeUndefined()
}

await suiteOn('onednn', 'onednn', () => {
  describe.each(ways)('%s', (_, costs) => {
    const executor = onednnBy(() => by(costs))
    test('gives a layer, and its gradients', () =>
      check(
        fc.asyncProperty(layers, async (one) => isAsReference(executor, one)),
        25,
      ))
    test('gives networks', () =>
      check(
        fc.asyncProperty(networks, async (one) => isAsReference(executor, one)),
        8,
      ))
    test('gives the same from 1 and 2 threads, to the bit', () =>
      check(
        fc.asyncProperty(networks, async ({ graph, feeds }) => {
          const on = (threads: number) => runOn(executor, { mode: 'training', threads })(graph, feeds)
          expect(await on(2)).toEqual(await on(1))
        }),
        4,
      ))
  })

  describe.each(ways)('in half precision, 2 bytes an element, %s', (_, costs) => {
    const executor = onednnBy(() => by({ ...costs, half: { ...costs.half, stored: 'always' } }))
    test('gives a layer, and its gradients', () =>
      check(
        fc.asyncProperty(layers, fc.constantFrom(...halves), async (one, half) =>
          isAsReference(executor, inHalves(one, half)),
        ),
        25,
      ))
    test('gives the same from 1 and 2 threads, to the bit', () =>
      check(
        fc.asyncProperty(networks, async (one) => {
          const { graph, feeds } = inHalves(one, 'bfloat16')
          const on = (threads: number) => runOn(executor, { mode: 'training', threads })(graph, feeds)
          expect(await on(2)).toEqual(await on(1))
        }),
        4,
      ))
  })

  const all = by(everywhere)
  const passes: readonly (readonly [string, How])[] = [
    ['no pass', { ...all, decisions: [], finishings: [] }],
    ...decisions(everywhere).map((pass) => [pass[0], { ...all, decisions: [pass], finishings: [] }] as const),
    ...finishings.map((pass) => [pass[0], { ...all, decisions: [], finishings: [pass] }] as const),
    ...decisions(everywhere).map(
      ({ 0: name }, i) => [`all but ${name}`, { ...all, decisions: all.decisions.filter((_, k) => k !== i) }] as const,
    ),
    ['all', all],
    ['as measured', by(measured)],
    ['as reckoned of AVX-512', by(reckonedOfAvx512)],
  ]
  test.each(passes)('%s keeps what is computed', (_, how) =>
    check(
      fc.asyncProperty(networks, async (one) =>
        isAsReference(
          onednnBy(() => how),
          one,
        ),
      ),
      5,
    ),
  )
})
