import { type Graph, type Node, nodeAt } from '../../graph/graph.ts'
import { size } from '../../graph/types.ts'
import { arithmetic } from './arithmetic.ts'

/** A few operations on an array that is there and numbers of each channel: less to compute anew than to write and to read. */
const isLight = (graph: Graph, { op, operands: [of] }: Node): boolean =>
  op === 'groupNorm' ||
  op === 'standardize' ||
  (op === 'reshape' && of !== undefined && nodeAt(graph, of).op === 'standardize')
const isArithmetic = ({ op }: Node): boolean => op === 'reshape' || Object.hasOwn(arithmetic, op)

/**
 * Which results of arithmetic have to be in memory: outputs, and what several loops would compute anew. Where all that read a
 * result end in one loop it is computed there, and once more behind a `recompute`.
 */
export const keeping = (graph: Graph, order: readonly number[]): ReadonlySet<number> => {
  const outputs = new Set(Object.values(graph.outputs))
  const users = new Map<number, number[]>()
  for (const index of order)
    if (nodeAt(graph, index).op !== 'recompute')
      for (const o of new Set(nodeAt(graph, index).operands)) users.set(o, [...(users.get(o) ?? []), index])
  /** The node in whose loop each is computed. */
  const end = new Map<number, number>()
  const kept = new Set<number>()
  for (const index of [...order].reverse()) {
    const n = nodeAt(graph, index)
    const readers = users.get(index) ?? []
    const isJoined = (u: number): boolean =>
      isArithmetic(nodeAt(graph, u)) && size(nodeAt(graph, u).type.shape) === size(n.type.shape)
    const ends = new Set(readers.map((u) => (isJoined(u) ? (end.get(u) ?? u) : u)))
    const [only] = ends
    const inOne = ends.size === 1 && only !== undefined && !outputs.has(index)
    const isAlone = readers.length === 1 || readers.every(isJoined)
    if ((!inOne || !isAlone) && !isLight(graph, n)) kept.add(index)
    end.set(index, inOne && isAlone && readers.every(isJoined) ? only : index)
  }
  return kept
}
