import { type Graph, nodeAt } from '../graph/graph.ts'

/** Of each node, how many of `counted` nodes follow each other on the longest way to it. */
const depths = (g: Graph, counted: (i: number) => boolean): readonly number[] => {
  const depth: number[] = []
  g.nodes.forEach(({ operands }, i) => {
    depth.push(operands.reduce((d, o) => Math.max(d, depth[o] ?? 0), 0) + (counted(i) ? 1 : 0))
  })
  return depth
}

export interface Scheduled {
  readonly graph: Graph
  /**
   * Of each node, a `late` one that stands before it: what it is made of, or what it is to be combined with. What is only added up does
   * not wait for each other: such are the gradients of micro-batches.
   */
  readonly behind: readonly (number | undefined)[]
}

/** What is made of the forward part alone for a gradient rule has fewer `late` nodes behind it than this. */
const shallow = 16

/**
 * The same graph, its nodes in the order in which a step needs the least of them at a time: those that many `late` nodes lie behind as soon
 * as they can be, so that each weight's gradient is taken before its cotangent is left; the others when they are needed; of operands first
 * that which most late nodes lie behind, so that a cotangent is there before what it is multiplied with is made. ONNX Runtime, which begins
 * with the last output and goes from there to what it needs, comes to about this order.
 */
export const backwards =
  (late: (i: number) => boolean) =>
  (g: Graph): Scheduled => {
    const depth = depths(g, late)
    const deepest = (xs: readonly (number | undefined)[]): number | undefined =>
      xs.reduce(
        (a, b) => (b !== undefined && (a === undefined || (depth[b] ?? 0) > (depth[a] ?? 0)) ? b : a),
        undefined,
      )
    const order: number[] = []
    const place = new Map<number, number>()
    const behind = new Map<number, number | undefined>()
    const deep = g.nodes.flatMap((_, i) => (late(i) && (depth[i] ?? 0) >= shallow ? [i] : []))
    const roots = [...Object.values(g.outputs), ...deep.sort((x, y) => (depth[y] ?? 0) - (depth[x] ?? 0))]
    const pending: { readonly i: number; readonly after?: number | undefined }[] = roots.map((i) => ({ i }))
    for (let top = pending.at(-1); top !== undefined; top = pending.at(-1)) {
      const { i, after } = top
      const { op, operands: unordered } = nodeAt(g, i)
      if (behind.has(i)) {
        pending.pop()
        if (!place.has(i)) place.set(i, order.push(i) - 1)
        continue
      }
      const operands = [...unordered].sort((x, y) => (depth[x] ?? 0) - (depth[y] ?? 0))
      const first = operands.filter(late).at(-1)
      const own = deepest([after, first])
      behind.set(i, own)
      for (const o of operands)
        if (!behind.has(o)) pending.push({ i: o, after: o === first || op === 'add' ? after : own })
    }
    const moved = (i: number): number => place.get(i) ?? -1
    return {
      graph: {
        nodes: order.map((i) => ({ ...nodeAt(g, i), operands: nodeAt(g, i).operands.map(moved) })),
        outputs: Object.fromEntries(Object.entries(g.outputs).map(([name, i]) => [name, moved(i)])),
      },
      behind: order.map((i) => {
        const b = behind.get(i)
        return b === undefined ? undefined : moved(b)
      }),
    }
  }
