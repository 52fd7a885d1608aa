/** Everything that the roots reach, what a thing is made of before it, each once. Iterative: depth grows with the model. */
export const postorder = <A>(roots: readonly A[], madeOf: (a: A) => readonly A[]): readonly A[] => {
  const done = new Set<A>()
  const begun: { readonly a: A; readonly of: readonly A[]; next: number }[] = []
  const begin = (a: A): void => {
    if (!done.has(a)) begun.push({ a, of: madeOf(a), next: 0 })
  }
  for (const root of roots) {
    begin(root)
    for (let top = begun.at(-1); top !== undefined; top = begun.at(-1)) {
      const below = top.of[top.next++]
      if (below !== undefined) begin(below)
      else {
        begun.pop()
        done.add(top.a)
      }
    }
  }
  return [...done]
}
