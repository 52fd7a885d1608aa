import type { Effect } from '../error.ts'
import type { Graph } from '../graph/graph.ts'

/** What a compiled graph computes in one call, how, and how long that is expected to take: the same of every engine. */
export interface Explained {
  /** Where it was declared, or what it is: `input_blocks.1.0.in_layers.2`. */
  readonly node: string
  /** The op of the graph, or what an engine made of several. */
  readonly op: string
  /** The way it is computed, in a word or two: `blocked`, `minimal filtering`. */
  readonly algorithm: string
  /** How its result lies: `nchw`, `nhwc`, `hwio`. */
  readonly layout: string
  readonly milliseconds: number
  /** Of the whole graph's time, from 0 to 1. */
  readonly share: number
}

/** What decides a plan: leaves that are baked in are told by name, as their numbers decide nothing. */
export interface ExplainOptions {
  readonly mode: 'sampling' | 'training'
  /** The engine's own choice where left out. */
  readonly threads?: number
  readonly baked?: readonly string[]
}
export type Explain = (graph: Graph, options: ExplainOptions) => Effect<readonly Explained[]>

/** Calls with their shares of the time that they take one after the other. */
export const withShares = (rows: readonly Omit<Explained, 'share'>[]): readonly Explained[] => {
  const total = rows.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
  return rows.map((row) => ({ ...row, share: total === 0 ? 0 : row.milliseconds / total }))
}

const columns = ['node', 'op', 'algorithm', 'layout', 'ms', 'share'] as const
const cells = (row: Explained): readonly string[] => [
  row.node,
  row.op,
  row.algorithm,
  row.layout,
  row.milliseconds.toFixed(3),
  `${(100 * row.share).toFixed(1)} %`,
]

/** For people: a call a line, in order. */
export const explainTable = (rows: readonly Explained[]): string => {
  const lines = [columns, ...rows.map(cells)]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  const isNumber = (i: number): boolean => i >= columns.length - 2
  return lines
    .map((line) =>
      line.map((cell, i) => (isNumber(i) ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))).join('  '),
    )
    .join('\n')
}
