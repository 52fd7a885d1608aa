import type { Tensor } from '../declare/index.ts'

/** The same function, which keeps its last answer: what is asked twice of the same tensors is built once. */
export const once = <A>(f: (xt: Tensor, t: Tensor) => A): ((xt: Tensor, t: Tensor) => A) => {
  let last: { readonly xt: Tensor; readonly t: Tensor; readonly said: A } | undefined
  return (xt, t) => {
    const known = last?.xt === xt && last.t === t ? last : { xt, t, said: f(xt, t) }
    last = known
    return known.said
  }
}
