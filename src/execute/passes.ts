/** A step of what happens to a graph, by its name: from a thing to a thing of the same kind. */
export type Pass<A> = readonly [name: string, pass: (a: A) => A]
export const through =
  <A>(passes: readonly Pass<A>[]) =>
  (a: A): A =>
    passes.reduce((now, [, pass]) => pass(now), a)
