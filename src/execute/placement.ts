import type { Effect } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import type { Carry, Values } from './executor.ts'

/** Nodes of one kind that do not run on the device asked for, and what that moves in one step. */
export interface Leaving {
  /** As the runtime calls it. */
  readonly op: string
  readonly nodes: number
  /** Bytes that leave the device for them: the device waits. */
  readonly toHost: number
  /** Bytes of their results that the device reads or keeps. */
  readonly toDevice: number
}
/** Where the nodes of a compiled graph run. */
export interface Placement {
  readonly nodes: number
  readonly leaving: readonly Leaving[]
  /** Why what leaves cannot be told. */
  readonly untold?: string
}

/** What is on the device before a run and after it. */
export interface Resident {
  readonly leaves: readonly string[]
  readonly outputs: readonly string[]
}
/** Asks an executor where the nodes of a graph run; a `compile` error where its device is missing. */
export type Placing = (graph: Graph, resident: Resident, constants?: Values) => Effect<Placement>

export const residentIn = (carry: Carry): Resident => ({ leaves: Object.values(carry), outputs: Object.keys(carry) })
