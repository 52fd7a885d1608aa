import { refreeze, thaw } from '../declare/index.ts'
import type { Graph } from '../graph/graph.ts'

/** The graph of some of its outputs: whatever only the others needed is gone. */
export const prune =
  (keep: readonly string[]) =>
  (g: Graph): Graph =>
    refreeze(Object.fromEntries(Object.entries(thaw(g)).filter(([name]) => keep.includes(name))))
