import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Values } from '../../src/execute/executor.ts'
import { lean } from '../../src/execute/tensorflow/lean.ts'
import { disposeAll, downloadAll, uploadAll } from '../../src/execute/tfjs/device.ts'
import { load } from '../../src/execute/tfjs/installed.ts'
import { moveTransposes } from '../../src/execute/tfjs/layout.ts'
import { lower } from '../../src/execute/tfjs/lower.ts'
import { prepare } from '../../src/execute/tfjs/machine.ts'
import { type Program, schedule } from '../../src/execute/tfjs/program.ts'
import { rewrite } from '../../src/execute/tfjs/quirks.ts'
import { sumInBlocks, sumInPlace } from '../../src/execute/tfjs/sums.ts'
import type { Roots } from '../../src/execute/tfjs/value.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes, type Graph, parameters } from '../../src/graph/graph.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { planExperiment, stagesOf } from '../../src/train/plan.ts'
import { grad, optimise } from '../../src/transform/index.ts'
import { type Case, caseOf, frozen } from '../arbitrary/cases.ts'
import { arbitraryChain } from '../arbitrary/chains.ts'
import { check } from '../arbitrary/check.ts'
import { lossOf, variables } from '../arbitrary/differentiate.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { difference, right } from '../arbitrary/run.ts'

const { device, target } = right(await load('cpu')())
const rootsOf = (g: Graph): Roots => right(lower(g, target))
const transposes = ({ steps }: Program): number => steps.filter((s) => s.kernel === 'Transpose').length

const run = async (roots: Roots, feeds: Values): Promise<Values> => {
  const machine = prepare(device, schedule(roots))
  const own = uploadAll(device, feeds)
  const results = right(await downloadAll(device, () => machine.run(own))())
  disposeAll(own)
  machine.dispose()
  return results
}
/** Sums may be taken in another order. */
const rounding = 1e-5
const keeps =
  (transform: (roots: Roots) => Roots) =>
  async ({ graph, feeds }: Pick<Case, 'graph' | 'feeds'>): Promise<void> => {
    const needed = feedTypes(graph)
    const own = Object.fromEntries(Object.entries(feeds).filter(([name]) => name in needed))
    const roots = rootsOf(graph)
    expect(difference(await run(transform(roots), own), await run(roots, own), rounding)).toBeUndefined()
  }

describe.each([
  ['moving transposes', (roots: Roots) => moveTransposes(roots)],
  ['summing in place', rewrite(sumInPlace)],
  ['summing in blocks', rewrite(sumInBlocks)],
  ['leaving out reshapes', (roots: Roots) => lean(moveTransposes(roots))],
  ['both', (roots: Roots) => rewrite(sumInPlace)(moveTransposes(roots))],
] as const)('%s changes no result', (_, transform) => {
  test.each(opKinds)('of %s', (op) => check(fc.asyncProperty(caseOf(op), keeps(transform)), 10))
  test('of chains of movements', () => check(fc.asyncProperty(arbitraryChain, keeps(transform)), 200))
  test('of generated graphs', () => check(fc.asyncProperty(arbitraryGraph({ steps: 12 }), keeps(transform)), 100))
  test('of their gradients', () =>
    check(
      fc.asyncProperty(arbitraryGraph(), async ({ outputs, feeds }) => {
        const loss = lossOf(outputs)
        const gradients = grad(loss, variables(loss)).map((dx, i) => [`dx${i}`, dx] as const)
        await keeps(transform)({ graph: optimise(frozen({ loss, ...Object.fromEntries(gradients) })), feeds })
      }),
      60,
    ))
})

test('a chain of movements is never given a transpose more', () =>
  check(
    fc.asyncProperty(arbitraryChain, async ({ graph }) => {
      const roots = rootsOf(graph)
      const [before, after] = [transposes(schedule(roots)), transposes(schedule(moveTransposes(roots)))]
      expect(after).toBeLessThanOrEqual(Math.max(before, Object.keys(graph.outputs).length))
    }),
    200,
  ))

/** Of the heads of one attention, forth and back: queries, keys, values and what comes of them. */
const perAttention = 7
describe.each(['tiny', 'emoji', 'emoji-kl-gan'])('the training steps of graphs/%s.json', (name) => {
  test('transpose filters and their gradients, attention heads, and little else', async () => {
    const experiment = right(await loadExperiment(`graphs/${name}.json`)())
    const plan = right(planExperiment(experiment, 4))
    for (const { step } of stagesOf(plan)) {
      const { graph } = step
      const filters = new Set(
        parameters(graph)
          .filter((p) => p.shape.length >= 3)
          .map((p) => p.name),
      ).size
      const attentions = graph.nodes.filter((n) => n.op === 'softmax').length
      const roots = rootsOf(graph)
      const [before, after] = [transposes(schedule(roots)), transposes(schedule(moveTransposes(roots)))]
      expect(after).toBeLessThan(before / 1.8)
      expect(after - 2 * filters).toBeLessThanOrEqual(perAttention * attentions + 20)
    }
  })
})
