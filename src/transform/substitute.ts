import { apply, leafName, type Tensor, topological } from '../declare/index.ts'

/**
 * What stands for each expression below the roots once leaves are replaced by name: a step's later half, declared over the
 * state before it, told of the state its first half leaves. What reads no replaced leaf stays the same object.
 */
export const substitution = (
  by: Readonly<Record<string, Tensor>>,
  roots: readonly Tensor[],
): ((x: Tensor) => Tensor) => {
  const stands = new Map<Tensor, Tensor>()
  const now = (x: Tensor): Tensor => stands.get(x) ?? x
  for (const x of topological(roots)) {
    const name = leafName(x)
    const replacement = name === undefined ? undefined : by[name]
    if (replacement !== undefined) stands.set(x, replacement)
    else if (x.args.some((a) => now(a) !== a)) stands.set(x, apply(x.op, x.attributes, x.args.map(now), x.scope))
  }
  return now
}
