import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { div, input, integers, mul } from '../../src/declare/index.ts'
import { ints } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { type Graph, outputTypes } from '../../src/graph/graph.ts'
import { int } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { fold, grad, optimise, prune, pullScalars, share } from '../../src/transform/index.ts'
import { type Case, frozen } from '../arbitrary/cases.ts'
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
