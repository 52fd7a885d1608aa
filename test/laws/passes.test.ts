import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Values } from '../../src/execute/executor.ts'
import { type Call, type Calls, callsOf, inOrder, isCall, operand } from '../../src/execute/onnx/calls.ts'
import { lowerings, rewrites, stagings } from '../../src/execute/onnx/compile.ts'
import { layoutName, lyingOf, sameLayout } from '../../src/execute/onnx/layouts.ts'
import type { Target } from '../../src/execute/onnx/target.ts'
import { through } from '../../src/execute/passes.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { inOneStage, loopsIn, partsIn } from '../../src/execute/stages.ts'
import { splitting } from '../../src/execute/staging.ts'
import { type Graph, outputTypes } from '../../src/graph/graph.ts'
import { optimise } from '../../src/transform/index.ts'
import { frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { arbitraryNetwork } from '../arbitrary/convolutions.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { graphOfCalls, graphOfStages } from '../arbitrary/meaning.ts'
import { difference, runOn } from '../arbitrary/run.ts'
import { ways } from '../arbitrary/ways.ts'
import { feedsOf } from '../unit/onnx-support.ts'

const exact = runOn(reference)
interface Fed {
  readonly graph: Graph
  readonly feeds: Values
}
const networks: fc.Arbitrary<Fed> = arbitraryNetwork.map((outputs) => {
  const graph = optimise(frozen(outputs))
  return { graph, feeds: feedsOf(graph) }
})
const graphs: fc.Arbitrary<Fed> = fc.oneof(
  { arbitrary: networks, weight: 2 },
  { arbitrary: arbitraryGraph({ steps: 9 }), weight: 3 },
)

/** The same numbers and types, in float64. */
const meansTheSame = async (now: Graph, { graph, feeds }: Fed): Promise<void> => {
  expect(outputTypes(now)).toEqual(outputTypes(graph))
  expect(difference(await exact(now, feeds), await exact(graph, feeds), 1e-9)).toBeUndefined()
}
/** Everything that calls say, each by its place. */
const said = (calls: Calls): readonly string[] => {
  const order = inOrder(calls)
  const place = new Map(order.map((c, i) => [c, i]))
  return [
    ...order.map((c) => {
      const { op, attributes, algorithm, layout, anew, flops } = c
      return JSON.stringify([op, attributes, c.operands.map((o) => place.get(o)), algorithm, layout, anew, flops])
    }),
    ...Object.entries(calls).map(([name, c]) => `${name}: ${place.get(c)}`),
  ]
}
const target: Target = {
  device: 'cpu',
  mode: 'training',
  block: 16,
  costs: { ...(ways[0]?.[1] ?? expect.fail('no costs')), scores: 1 },
}
/** Some weights are known beforehand. */
const isBaked = (leaf: string): boolean => /^w\d*[02468]$/.test(leaf)
const named = <A>(passes: readonly (readonly [string, A])[]) => passes.map(([name], i) => [name, i] as const)

describe('every pass over calls', () => {
  const arbitraryTarget = fc.record({
    costs: fc.constantFrom(...ways.map(([, costs]) => ({ ...costs, scores: 1 }))),
    mode: fc.constantFrom('training' as const, 'sampling' as const),
    device: fc.constantFrom('cpu' as const, 'webgpu' as const),
  })
  describe.each(named(lowerings(target)))('%s', (_, i) => {
    test('keeps what is computed, alone and behind those before it', () =>
      check(
        fc.asyncProperty(graphs, arbitraryTarget, fc.boolean(), async (fed, { costs, mode, device }, alone) => {
          const block = device === 'cpu' && mode === 'training' ? 16 : null
          const passes = lowerings({ device, mode, block, costs })
          const run = alone ? passes.slice(i, i + 1) : passes.slice(0, i + 1)
          await meansTheSame(graphOfCalls(through(run)(callsOf(fed.graph, isBaked)), fed.graph), fed)
        }),
        30,
      ))
    test('changes nothing of what it has changed', () =>
      check(
        fc.asyncProperty(graphs, async ({ graph }) => {
          const passes = lowerings(target).slice(0, i + 1)
          const once = through(passes)(callsOf(graph, isBaked))
          expect(said(through(passes.slice(i))(once))).toEqual(said(once))
        }),
        30,
      ))
  })
})

describe('layouts', () => {
  const everyCall = (f: (c: Call) => void) =>
    check(
      fc.asyncProperty(graphs, fc.constantFrom(...ways.map(([, costs]) => costs)), async ({ graph }, costs) => {
        inOrder(through(lowerings({ ...target, costs }))(callsOf(graph, isBaked))).forEach(f)
      }),
      40,
    )
  test('every call reads its operands as its algorithm wants them', () =>
    everyCall((c) => {
      if (isCall('convert')(c) || isCall('transpose')(c)) return
      const { reads, makes } = lyingOf(c)
      const carried = makes === 'plain' && c.layout !== 'plain'
      c.operands.forEach((o, i) => {
        const isNumber = isCall('constant')(o) && o.attributes.data.length === 1
        const wanted = carried && !isNumber ? c.layout : (reads[i] ?? 'plain')
        expect([c.op, layoutName(o.layout)]).toEqual([c.op, layoutName(wanted)])
      })
    }))
  test('nothing is converted to what it is or was, and nothing twice', async () => {
    await everyCall((c) => {
      if (!isCall('convert')(c)) return
      const of = operand(c, 0)
      expect(sameLayout(c.attributes.from, of.layout)).toBe(true)
      expect(sameLayout(c.layout, of.layout)).toBe(false)
      expect(isCall('convert')(of) && sameLayout(of.attributes.from, c.layout)).toBe(false)
    })
    const seen = new WeakMap<Call, Set<string>>()
    await everyCall((c) => {
      if (!isCall('convert')(c)) return
      const known = seen.get(operand(c, 0)) ?? new Set()
      expect(known.has(layoutName(c.layout))).toBe(false)
      seen.set(operand(c, 0), known.add(layoutName(c.layout)))
    })
  })
})

describe('every pass over graphs and stages', () => {
  const none: ReadonlySet<string> = new Set()
  test.each([
    ...rewrites('training', none),
    ...rewrites('sampling', new Set(['w0', 'w1', 'w2', 'w3']), { phased: { channels: 1, products: 1, weights: 1e6 } }),
  ])('%s keeps what is computed', (_, pass) =>
    check(
      fc.asyncProperty(graphs, (fed) => meansTheSame(pass(fed.graph), fed)),
      30,
    ),
  )
  test.each(named(stagings(splitting(none), 2)))('%s keeps what is computed', (_, i) =>
    check(
      fc.asyncProperty(graphs, async (fed) => {
        const made = through(stagings(splitting(none), 2).slice(0, i + 1))(inOneStage(fed.graph))
        await meansTheSame(graphOfStages(made), fed)
      }),
      30,
    ),
  )
  test('together they cut loops off a step, and keep its weights as hwio', async () => {
    const [step] = fc.sample(networks, { numRuns: 1, seed: 1 })
    if (step === undefined) return
    const made = through(stagings(splitting(none), 2))(inOneStage(step.graph))
    expect([loopsIn(made).length > 0, partsIn(made).length]).toEqual([true, 1])
    expect(Object.keys(made.layouts.leaves).length).toBeGreaterThan(0)
  })
})
