import { feedTypes, type Graph, outputTypes } from '../graph/graph.ts'
import type { Types } from './feeds.ts'
import type { Order } from './layout.ts'
import type { Loop } from './tail/split.ts'

/** What an engine does in one go. */
export type Stage =
  /** Graphs beside each other, which have nothing but leaves in common and share out the outputs. */
  | { readonly kind: 'graphs'; readonly parts: readonly Graph[] }
  /** Arithmetic over what graphs before it have made, and over leaves. */
  | { readonly kind: 'loops'; readonly loops: readonly Loop[] }

/** A graph as stages, one after the other: a later one reads what an earlier one makes beside what the graph is asked for. */
export interface Staged {
  /** What all stages together compute. */
  readonly graph: Graph
  readonly stages: readonly Stage[]
  /** The leaves and the outputs of the graph that stages have in another order of axes, told as the order in which they lie. */
  readonly layouts: Readonly<Record<'leaves' | 'outputs', Readonly<Record<string, Order>>>>
}

/** All of a graph in one stage. */
export const inOneStage = (graph: Graph): Staged => ({
  graph,
  stages: [{ kind: 'graphs', parts: [graph] }],
  layouts: { leaves: {}, outputs: {} },
})
export const partsIn = ({ stages }: Staged): readonly Graph[] =>
  stages.flatMap((s) => (s.kind === 'graphs' ? s.parts : []))
export const loopsIn = ({ stages }: Staged): readonly Loop[] =>
  stages.flatMap((s) => (s.kind === 'loops' ? s.loops : []))
/** What the graphs of a staged graph are fed, in the shapes in which they read it. */
export const fedToParts = (staged: Staged): Types => Object.assign({}, ...partsIn(staged).map(feedTypes))
/** What they make: outputs of the whole, and what later stages read. */
export const madeByParts = (staged: Staged): Types => Object.assign({}, ...partsIn(staged).map(outputTypes))
