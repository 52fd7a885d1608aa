import type { Node } from '../../graph/graph.ts'
import type { Shape } from '../../graph/types.ts'
import { isLowered, type Lowered } from './lowering.ts'
import { call, concat, int, int64s, type Value } from './value.ts'

/**
 * What `recompute` computes anew: normalised activations are kept for the backward pass anyway, and their scale, shift and SiLU
 * cost less than two further arrays of each kept since the forward pass.
 */
export const isCheap = ({ op }: Node): boolean => op === 'silu' || op === 'groupNorm'

/** The value by calls of their own; the last two of a group norm, its scale and its shift. */
export const computedAnew = (x: Lowered): Value => {
  const [inner] = x.operands
  if (isLowered('silu')(x) && inner !== undefined) return marked(x.value, () => computedAnew(inner))
  if (isLowered('groupNorm')(x)) return marked(x.value, (scaled) => marked(scaled, (standard) => standard))
  return x.value
}

const marked = (v: Value, first: (input: Value) => Value): Value =>
  v.kind !== 'result'
    ? v
    : {
        ...v,
        call: { ...v.call, inputs: v.call.inputs.map((input, i) => (i === 0 ? first(input) : input)), anew: true },
      }

/**
 * The same array behind another one: its shape waits for that one's, of which it takes no axis. The runtime shares the memory of a
 * reshaped array, so this costs three calls and no copy.
 */
export const heldBack = (x: Value, until: Value, shape: Shape): Value =>
  call('Reshape', [x, concat(0, [call('Shape', [until], { start: int(0), end: int(0) }), int64s(shape)])])
