/** A range cut into that many ranges that differ by 1 at most; those that are empty are left out. */
export const cut = (length: number, parts: number): readonly (readonly [from: number, to: number])[] => {
  const ends = Array.from({ length: parts + 1 }, (_, i) => Math.floor((length * i) / parts))
  return ends.flatMap((to, i) => (i > 0 && to > (ends[i - 1] ?? 0) ? [[ends[i - 1] ?? 0, to] as const] : []))
}
