import { apply, concat, isTensor, refreeze, rewrite, type Tensor } from '../declare/index.ts'
import { type Graph, readersIn } from '../graph/graph.ts'
import { sameShape } from '../graph/types.ts'

/** What stacks: arrays that differ in their number of items alone. */
const stackable = (a: Tensor | undefined, b: Tensor | undefined): boolean =>
  a !== undefined && b !== undefined && sameShape(a.shape.slice(1), b.shape.slice(1))

const merged = (a: Tensor, b: Tensor): Tensor | undefined =>
  isTensor('convWeightGrad')(a) &&
  isTensor('convWeightGrad')(b) &&
  JSON.stringify(a.attributes) === JSON.stringify(b.attributes) &&
  a.args.every((x, i) => stackable(x, b.args[i]))
    ? apply(
        'convWeightGrad',
        a.attributes,
        a.args.map((x, i) => concat(0, x, ...b.args.slice(i, i + 1))),
        a.scope,
      )
    : undefined

/**
 * The sum of a weight's gradients over two batches as its gradient over both, where nothing else reads the two: a discriminator's
 * over what is true and what is made. Half as much is written, and one product has a longer sum instead of two.
 *
 *     convWeightGrad(x, dy) + convWeightGrad(x', dy') = convWeightGrad([x; x'], [dy; dy']), stacked along N
 */
export const mergeGradients = (g: Graph): Graph => {
  const [readers, outputs] = [readersIn(g), new Set(Object.values(g.outputs))]
  return refreeze(
    rewrite(g, (n, args, again) => {
      const [a, b] = args
      const alone = n.op === 'add' && n.operands.every((o) => readers[o]?.length === 1 && !outputs.has(o))
      return (alone && a !== undefined && b !== undefined ? merged(a, b) : undefined) ?? again()
    }),
  )
}
