import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import type { Executor, Values } from '../../src/execute/executor.ts'
import { by, finishings, type How } from '../../src/execute/onednn/compile.ts'
import { type Costs, measured, measuredOfAvx512 } from '../../src/execute/onednn/costs.ts'
import { decisions } from '../../src/execute/onednn/decide.ts'
import { onednn, onednnBy } from '../../src/execute/onednn/index.ts'
import { inLoops } from '../../src/execute/onednn/sums.ts'
import { reference } from '../../src/execute/reference/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { float, type Half, halves } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { optimise, precision } from '../../src/transform/index.ts'
import { caseOf, frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { arbitraryLayer, arbitraryNetwork, type Layer, layerOutputs } from '../arbitrary/convolutions.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { difference, right, runOn } from '../arbitrary/run.ts'
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
/** Products of few rows and columns, of one too, of which the library has not each. */
const products = caseOf('matmul')
/** Operands and what lies between products in half precision; sums, which leave, in float32. */
const inHalves = ({ graph, feeds }: Fed, half: Half): Fed => ({ graph: precision(half)(graph), feeds })

/** A kernel of one place that meets every second or third place of pictures, to their ends or not: the convolution and both gradients. */
const points = fc
  .record({
    of: fc.tuple(...[3, 5, 8].map((max) => fc.integer({ min: 1, max }))),
    result: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })),
    stride: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    isWhole: fc.boolean(),
  })
  .map(({ of: [n = 1, c = 1, o = 1], result: [oh, ow], stride: [sh, sw], isWhole }) => {
    const window = { stride: [sh, sw], padding: [0, 0, 0, 0] } as const
    const seen = [oh, ow].map((d, i) => (d - (isWhole ? 0 : 1)) * (window.stride[i] ?? 1) + (isWhole ? 0 : 1))
    const [x, dy] = [D.input('x', float(n, c, ...seen)), D.input('dy', float(n, o, oh, ow))]
    const weight = D.input('weight', float(o, c, 1, 1))
    return fed({
      y: pipe(x, D.conv2d(weight, window)),
      dx: pipe(dy, D.convInputGrad(weight, seen, window)),
      dw: pipe(dy, D.convWeightGrad(x, [1, 1], window)),
    })
  })

const plainLayer: Layer = {
  ...{ n: 1, c: 16, o: 16, hwio: false, kernel: [3, 3], stride: [1, 1], padding: [1, 1, 1, 1], result: [4, 4] },
}
const always = [{ narrow: 1, wide: 1, tiles: 1 }]
const never = [{ narrow: Number.POSITIVE_INFINITY, wide: 1, tiles: 1 }]
/** Costs that send small arrays through every way: tiles an item at a time, every loop and product shared out. */
const everywhere: Costs = {
  ...measured,
  minimal: { conv2d: always, convInputGrad: always, convWeightGrad: always },
  tiledBytes: 1,
  worthCutting: { flops: 0, operations: 0 },
}
const untiled = { minimal: { conv2d: never, convInputGrad: never, convWeightGrad: never } }
const ways: readonly (readonly [string, Costs])[] = [
  ['minimal filtering, an item at a time', everywhere],
  ['minimal filtering, all at once', { ...everywhere, tiledBytes: Number.POSITIVE_INFINITY }],
  ['primitives', { ...everywhere, ...untiled }],
  ['loops, as if the library had no fast primitive', { ...everywhere, ...untiled, refused: /./ }],
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
    test('gives products', () =>
      check(
        fc.asyncProperty(products, async (one) => isAsReference(executor, one)),
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

  test('gives a kernel of one place by strides, and spoils nothing beside it', () =>
    check(
      fc.asyncProperty(points, async (one) => isAsReference(onednn, one)),
      20,
    ))

  const algorithmsOn = async ({ explain }: Executor, graph: Graph): Promise<readonly string[]> =>
    explain === undefined ? [] : right(await explain(graph, { mode: 'training' })()).map(({ algorithm }) => algorithm)
  test('no layer and no product is made by the library’s reference', () =>
    check(
      fc.asyncProperty(fc.oneof(layers, products), async ({ graph }) => {
        expect((await algorithmsOn(onednn, graph)).filter((a) => measured.refused.test(a))).toEqual([])
      }),
      100,
    ))
  test('explain says what loops take the place of', async () => {
    const { graph } = fed(layerOutputs({ ...plainLayer, kernel: [3, 2] }))
    const executor = onednnBy(() => by({ ...measured, refused: /./ }))
    const said = (await algorithmsOn(executor, graph)).filter((a) => a.startsWith(inLoops))
    // A convolution, the gradient of its weight, and one of x for each of 6 taps.
    expect(said).toHaveLength(8)
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
    ['as measured with AVX-512', by(measuredOfAvx512)],
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
