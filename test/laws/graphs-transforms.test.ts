import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  add,
  convWeightGrad,
  div,
  input,
  integers,
  mul,
  sub,
  type Tensor,
  type Window,
} from '../../src/declare/index.ts'
import { ints } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { type Graph, outputTypes } from '../../src/graph/graph.ts'
import { float, int } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { fold, grad, mergeGradients, optimise, prune, pullScalars, share } from '../../src/transform/index.ts'
import { type Case, fedCase, frozen } from '../arbitrary/cases.ts'
import { arbitraryChain } from '../arbitrary/chains.ts'
import { check } from '../arbitrary/check.ts'
import { lossOf, variables } from '../arbitrary/differentiate.ts'
import { arbitraryGraph } from '../arbitrary/graphs.ts'
import { difference, runOn } from '../arbitrary/run.ts'

const run = runOn(reference)
const transforms: readonly (readonly [string, (g: Graph) => Graph])[] = [
  ['fold', fold],
  ['share', share],
  ['pullScalars', pullScalars],
  ['optimise', optimise],
  ['mergeGradients', mergeGradients],
  ['keeping every output', (g) => prune(Object.keys(g.outputs))(g)],
]

/** The outputs, with the gradients of a loss over them beside. */
const withGradients = ({ outputs }: Case): Graph => {
  const loss = lossOf(outputs)
  const gradients = grad(loss, variables(loss)).map((dx, i) => [`dx${i}`, dx] as const)
  return frozen({ ...outputs, loss, ...Object.fromEntries(gradients) })
}

/** Where the rules of the transforms meet each other most. */
const linear = [
  ...(['constant', 'add', 'sub', 'mul', 'div', 'neg', 'sum', 'select', 'concat', 'matmul', 'conv2d'] as const),
  ...(['reshape', 'transpose', 'broadcast', 'slice', 'gather', 'scatterAdd'] as const),
]
const graphs = fc.oneof(
  { arbitrary: arbitraryChain, weight: 3 },
  arbitraryGraph(),
  arbitraryGraph({ ops: linear, steps: 9 }),
)

describe.each(transforms)('%s', (_, transform) => {
  test('keeps meaning and types, of a graph and of its gradients', () =>
    check(
      fc.asyncProperty(graphs, async (c) => {
        const graph = withGradients(c)
        const transformed = transform(graph)
        expect(outputTypes(transformed)).toEqual(outputTypes(graph))
        expect(difference(await run(transformed, c.feeds), await run(graph, c.feeds), 1e-12)).toBeUndefined()
      }),
      500,
    ))
})

test('prune leaves the outputs it keeps as they were', () =>
  check(
    fc.asyncProperty(graphs, async ({ graph, feeds }) => {
      const [name = ''] = Object.keys(graph.outputs)
      const pruned = prune([name])(graph)
      expect(Object.keys(pruned.outputs)).toEqual([name])
      const { [name]: expected } = await run(graph, feeds)
      expect(await run(pruned, feeds)).toEqual({ [name]: expected })
    }),
  ))
test('a whole quotient of a scaled tensor is not a scaled quotient', async () => {
  const [x, s] = [input('x', int(2)), input('s', int())]
  const graph = frozen({ y: pipe(x, mul(s), div(integers([2, 2]))) })
  const feeds = { x: ints([2], Int32Array.of(1, 3)), s: ints([], Int32Array.of(4)) }
  expect((await run(pullScalars(graph), feeds)).y?.data).toEqual(Int32Array.of(2, 6))
})
test('share leaves no two equal nodes', () =>
  check(
    fc.asyncProperty(graphs, async (c) => {
      const { nodes } = share(withGradients(c))
      expect(new Set(nodes.map((n) => JSON.stringify([n.op, n.attributes, n.operands]))).size).toBe(nodes.length)
    }),
  ))

/** A weight's gradients over batches of their own, their windows and pictures mostly alike, put together by sums and differences. */
const usual: Window = { stride: [1, 1], padding: [1, 1, 0, 0] }
const other: Window = { stride: [2, 1], padding: [1, 1, 1, 0] }
const batches = fc.array(
  fc.record({
    items: fc.integer({ min: 1, max: 3 }),
    odd: fc.constantFrom(...(['no', 'no', 'no', 'window', 'size'] as const)),
    joined: fc.constantFrom(add, add, add, sub),
    read: fc.constantFrom(false, false, false, true),
  }),
  { minLength: 2, maxLength: 5, size: 'max' },
)
type Batches = typeof batches extends fc.Arbitrary<infer A> ? A : never
const gradientsOf = (all: Batches): readonly Tensor[] =>
  all.map(({ items, odd }, i) => {
    const window = odd === 'window' ? other : usual
    const [h, w] = [odd === 'size' ? 5 : 4, 3]
    const [oh, ow] = odd === 'window' ? [Math.floor((h + 2 - 2) / 2) + 1, w] : [h, w]
    return pipe(
      input(`dy${i}`, float(items, 2, oh, ow)),
      convWeightGrad(input(`x${i}`, float(items, 3, h, w)), [2, 2], window),
    )
  })
const summed = batches.chain((all) => {
  const gradients = gradientsOf(all)
  const total = gradients.reduce((sum, g, i) => (i === 0 ? g : pipe(sum, (all[i]?.joined ?? add)(g))))
  const read = gradients.flatMap((g, i) => (all[i]?.read === true ? [[`read${i}`, g] as const] : []))
  return fc.tuple(fc.constant(all), fedCase({ total, ...Object.fromEntries(read) }, new Map()))
})
const walks = (g: Graph): number => g.nodes.filter(({ op }) => op === 'convWeightGrad').length
test('gradients of a weight over several batches are one over all, where the sum alone reads them', () =>
  check(
    fc.asyncProperty(summed, async ([all, { graph, feeds }]) => {
      const merged = mergeGradients(graph)
      expect(outputTypes(merged)).toEqual(outputTypes(graph))
      expect(difference(await run(merged, feeds), await run(graph, feeds), 1e-12)).toBeUndefined()
      const alike = all.every(({ odd, joined, read }, i) => odd === 'no' && !read && (i === 0 || joined === add))
      if (alike) expect(walks(merged)).toBe(1)
      expect(walks(merged)).toBeGreaterThanOrEqual(all.filter(({ read }) => read).length)
    }),
    200,
  ))
