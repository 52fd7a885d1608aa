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
  /** Which output becomes which leaf, where a step is run again and again. */
  readonly carry?: Readonly<Record<string, string>>
}
export type Explain = (graph: Graph, options: ExplainOptions) => Effect<readonly Explained[]>

/** What a compiler that plans by itself was given, and what it says of it. */
export interface Described {
  /** The program in the compiler's language. */
  readonly text: string
  /** How many of each op of that language. */
  readonly ops: Readonly<Record<string, number>>
  /** Bytes; `alias` are outputs that lie where arguments lay. */
  readonly memory: { readonly [K in 'arguments' | 'outputs' | 'alias' | 'temporary' | 'code']: number }
}
export type Describe = (graph: Graph, options: ExplainOptions) => Effect<Described>

/** How an engine tells what it makes of a graph: of its own calls, or of what a compiler says. */
export interface Telling {
  readonly explain?: Explain
  readonly describe?: Describe
}
/** What an engine tells of graphs that it is given otherwise; nothing where it tells nothing. */
export const explainAs = ({ explain, describe }: Telling, rewrite: (g: Graph) => Graph): Telling => ({
  ...(explain === undefined ? {} : { explain: (graph, options) => explain(rewrite(graph), options) }),
  ...(describe === undefined ? {} : { describe: (graph, options) => describe(rewrite(graph), options) }),
})
/** Bytes of a program while it runs. */
export const bytesOfDescribed = ({ memory }: Described): number =>
  memory.arguments + memory.outputs - memory.alias + memory.temporary

/** Calls with their shares of the time that they take one after the other. */
export const withShares = (rows: readonly Omit<Explained, 'share'>[]): readonly Explained[] => {
  const total = rows.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
  return rows.map((row) => ({ ...row, share: total === 0 ? 0 : row.milliseconds / total }))
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
/** Lines of cells, the last columns numbers. */
const table = (lines: readonly (readonly string[])[], numbers: number): readonly string[] => {
  const columns = lines[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  const aligned = (cell: string, i: number): string =>
    i >= columns - numbers ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)
  return lines.map((line) => line.map(aligned).join('  ').trimEnd())
}

/** Calls that are computed in the same way, together: the dearest first. */
export const explainGroups = (rows: readonly Explained[]) => {
  const known = new Map<string, Explained & { readonly calls: number }>()
  for (const row of rows) {
    const key = JSON.stringify([row.op, row.algorithm, row.layout])
    const { calls = 0, milliseconds = 0, share = 0 } = known.get(key) ?? {}
    known.set(key, {
      ...row,
      calls: calls + 1,
      milliseconds: milliseconds + row.milliseconds,
      share: share + row.share,
    })
  }
  return [...known.values()].sort((a, b) => b.milliseconds - a.milliseconds)
}

/** For people: what the calls of a plan come to by op, algorithm and layout, and those of at least this share, in order. */
export const explainText = (rows: readonly Explained[], least = 0.005): string => {
  const dear = rows.filter(({ share }) => share >= least)
  const total = rows.reduce((sum, { milliseconds }) => sum + milliseconds, 0)
  return [
    ...table(
      [
        ['op', 'algorithm', 'layout', 'calls', 'ms', 'share'],
        ...explainGroups(rows).map((g) => [
          ...[g.op, g.algorithm, g.layout],
          ...[String(g.calls), g.milliseconds.toFixed(2), percent(g.share)],
        ]),
        ['all', '', '', String(rows.length), total.toFixed(2), percent(1)],
      ],
      3,
    ),
    '',
    `calls of ${percent(least)} and more, in order`,
    '',
    ...table(
      [
        ['node', 'op', 'algorithm', 'layout', 'ms', 'share'],
        ...dear.map((r) => [r.node, r.op, r.algorithm, r.layout, r.milliseconds.toFixed(2), percent(r.share)]),
      ],
      2,
    ),
  ].join('\n')
}
