import { leafName, leafOfShape, refreeze, rewrite, type Tensor, transpose } from '../../declare/index.ts'
import { feedTypes, type Graph, isNode, type Node, nodeAt } from '../../graph/graph.ts'
import { sameShape, size } from '../../graph/types.ts'
import { pipe, RR } from '../../prelude.ts'
import { inverse, orders, permuted } from '../layout.ts'
import type { Staged } from '../stages.ts'
import type { Loop, Split } from './split.ts'

const isWeightGradient = (n: Node): boolean => isNode('convWeightGrad')(n) && size(n.attributes.kernel) > 1
const readFrom = (loop: Loop, place: 'leaf' | 'body'): readonly string[] =>
  loop.arrays.flatMap(({ from, name }) => (from === place ? [name] : []))
/** The gradients that a loop reads. */
const gradientsOf = (body: Graph, loop: Loop): readonly Node[] =>
  readFrom(loop, 'body').map((name) => nodeAt(body, body.outputs[name] ?? -1))

/** Leaves that several loops read: a graph may have several nodes of one leaf. */
const sharedLeaves = (loops: readonly Loop[]): ReadonlySet<string> => {
  const names = loops.flatMap((loop) => [...new Set(readFrom(loop, 'leaf'))])
  return new Set(names.filter((name, i) => names.indexOf(name) !== i))
}
/** Loops that read a gradient and, of the body, nothing of another shape: to these the order of the numbers is all the same. */
const indifferent = ({ body, loops }: Split) => {
  const [fed, shared] = [feedTypes(body), sharedLeaves(loops)]
  return loops.flatMap((loop) => {
    const gradients = gradientsOf(body, loop)
    const shape = gradients.find(isWeightGradient)?.type.shape
    const leaves = readFrom(loop, 'leaf')
    const inBody = [...gradients.map((n) => n.type), ...leaves.flatMap((name) => fed[name] ?? [])]
    const alone = loop.gives.length === 0 && !leaves.some((name) => shared.has(name))
    return shape !== undefined && alone && inBody.every((type) => sameShape(type.shape, shape))
      ? [{ shape, leaves, outputs: loop.outputs.map(({ name }) => name), handed: readFrom(loop, 'body') }]
      : []
  })
}

/**
 * Weights of convolutions as products leave their gradients, [h, w, C, O]: no step has to transpose a gradient. Where the graph before the
 * loops reads such a weight it transposes it back, which is seen as what it is: a layout.
 */
export const weightsAsMade = (staged: Staged): Staged => {
  const [first, second] = staged.stages
  const [body, ...others] = first?.kind === 'graphs' ? first.parts : []
  if (body === undefined || others.length > 0 || second?.kind !== 'loops') return staged
  const found = indifferent({ body, loops: second.loops })
  const named = (names: 'leaves' | 'outputs') =>
    Object.fromEntries(found.flatMap((f) => f[names].map((name) => [name, orders.hwio] as const)))
  const shapes = new Map(found.flatMap(({ leaves, shape }) => leaves.map((name) => [name, shape] as const)))
  const handed = new Set(found.flatMap((f) => f.handed))
  const outputs = rewrite(body, (_, __, again) => {
    const x = again()
    const shape = shapes.get(leafName(x) ?? '')
    const leaf = shape === undefined ? undefined : leafOfShape(x, permuted(shape, orders.hwio))
    return leaf === undefined ? x : pipe(leaf, transpose(...inverse(orders.hwio)))
  })
  const moved = pipe(
    outputs,
    RR.mapWithIndex((name, x: Tensor) => (handed.has(name) ? pipe(x, transpose(...orders.hwio)) : x)),
    refreeze,
  )
  return {
    ...staged,
    stages: [{ kind: 'graphs', parts: [moved] }, second, ...staged.stages.slice(2)],
    layouts: { leaves: named('leaves'), outputs: named('outputs') },
  }
}
