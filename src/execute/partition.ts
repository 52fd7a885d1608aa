/** Sets of numbers, each alone at first and joined one pair at a time; `rootOf` is the same for all of a set. */
export const partition = () => {
  const parent = new Map<number, number>()
  const rootOf = (i: number): number => {
    let root = i
    for (let up = parent.get(root) ?? root; up !== root; up = parent.get(root) ?? root) {
      parent.set(root, parent.get(up) ?? up)
      root = up
    }
    return root
  }
  return { rootOf, join: (a: number, b: number) => void parent.set(rootOf(a), rootOf(b)) }
}
