import { cast, constant, input, isTensor, refreeze, rewrite, type Tensor } from '../declare/index.ts'
import { type Graph, isNode } from '../graph/graph.ts'
import { roundings } from '../graph/half.ts'
import { exactOps } from '../graph/ops.ts'
import { float, type Half } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

const isConstant = isTensor('constant')
const isInput = isTensor('input')

/**
 * The same numbers from an engine that has no arithmetic in `dtype`: everything is computed in float32, and what was of `dtype` is
 * rounded to it by a cast there and back. Fed arrays and outputs of `dtype` become float32's, their numbers as before.
 *
 *     simulate('bfloat16')(precision('bfloat16')(graph))
 */
export const simulate =
  (dtype: Half) =>
  (g: Graph): Graph => {
    if (g.nodes.every((n) => n.type.dtype !== dtype)) return g
    const rounded = (x: Tensor): Tensor => pipe(x, cast(dtype), cast('float32'))
    const outputs = rewrite(g, (node, args, again) => {
      const x = again()
      if (node.type.dtype !== dtype)
        return isNode('cast')(node) && args[0]?.type.dtype === node.attributes.to ? args[0] : x
      if (isConstant(x)) return constant(x.attributes.data.map(roundings[dtype]), float(...x.shape))
      if (isInput(x)) return rounded(input(x.attributes.name, float(...x.shape), x.attributes.meaning))
      if (isNode('cast')(node)) return rounded(args[0] ?? x)
      return exactOps.has(node.op) ? x : rounded(x)
    })
    return refreeze(outputs)
  }
