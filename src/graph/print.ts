import type { Graph, Node } from './graph.ts'
import { feedName } from './graph.ts'
import { showType } from './types.ts'

const brief = (u: unknown): string => {
  const s = JSON.stringify(u)
  return s.length > 60 ? `${s.slice(0, 57)}...` : s
}
const line = (n: Node, i: number): string => {
  const name = feedName(n)
  const detail =
    name ??
    Object.entries(n.attributes)
      .map(([k, v]) => `${k}=${brief(v)}`)
      .join(' ')
  const call = `%${i} = ${n.op}(${n.operands.map((o) => `%${o}`).join(', ')})${detail === '' ? '' : ` ${detail}`}`
  return `  ${call} : ${showType(n.type)}${n.scope === '' || name !== undefined ? '' : `  # ${n.scope}`}`
}

/**
 * A graph for people: one node a line.
 *
 *     graph {
 *       %0 = input() x : float32[2, 3]
 *       %1 = exp(%0) : float32[2, 3]
 *       return y: %1
 *     }
 */
export const printGraph = (g: Graph): string =>
  [
    'graph {',
    ...g.nodes.map(line),
    `  return ${Object.entries(g.outputs)
      .map(([name, i]) => `${name}: %${i}`)
      .join(', ')}`,
    '}',
  ].join('\n')
