/** Everything that the roots reach, what a thing is made of before it, each once. Iterative: depth grows with the model. */
export const postorder = <A>(roots: readonly A[], madeOf: (a: A) => readonly A[]): readonly A[] => {
  const done = new Set<A>()
  const pending = [...roots].reverse()
  for (let top = pending.at(-1); top !== undefined; top = pending.at(-1)) {
    const missing = done.has(top) ? [] : madeOf(top).filter((a) => !done.has(a))
    if (missing.length > 0) {
      pending.push(...missing.reverse())
      continue
    }
    pending.pop()
    done.add(top)
  }
  return [...done]
}
