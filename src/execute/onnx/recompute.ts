import { type Call, type CallKind, isCall, rewriteCalls } from './calls.ts'

/**
 * What `recompute` computes anew: normalised activations are kept for the backward pass anyway, and their scale, shift and SiLU
 * cost less than two further arrays of each kept since the forward pass.
 */
export const isCheap = ({ op }: { readonly op: CallKind }): boolean => op === 'silu' || op === 'groupNorm'

/** A call of what is cheap once more, and of what is cheap below it; one for all that ask. */
const again = () => {
  const known = new Map<Call, Call>()
  const of = (c: Call): Call => {
    if (!isCheap(c)) return c
    const made = known.get(c) ?? {
      ...c,
      operands: isCall('silu')(c) ? c.operands.map(of) : c.operands,
      anew: true as const,
    }
    known.set(c, made)
    return made
  }
  return of
}
export const recomputed = rewriteCalls(() => {
  const of = again()
  return (c) => {
    const [x] = c.operands
    return isCall('recompute')(c) && x !== undefined ? of(x) : c
  }
})
