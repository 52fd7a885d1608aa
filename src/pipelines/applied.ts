import { type Adapter, adapterFeeds, type LowRank, merged, scaled, withAdapters } from '../adapters/index.ts'
import { type Effect, effect } from '../error.ts'
import type { FileArray, Value, Values } from '../execute/executor.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import type { Baked } from '../train/inference.ts'
import { bakedOf, type Component, type Weights } from './weights.ts'

/** Adapters of a published model's networks. */

/** An adapter as it is asked for. */
export interface Applied {
  readonly adapter: Adapter
  /** How much it counts. */
  readonly weight: number
  /** Whether weights are changed by it, once, rather than a term added where they are used. */
  readonly merge: boolean
}

/** Weights, and what is added to them. */
export interface Adaptable {
  readonly weights: Weights
  readonly adapters?: readonly Applied[]
}

/** A graph that is ready to be compiled, and what its parameters are. */
export interface Ready {
  readonly graph: Graph
  readonly baked: Baked
}

/** A component's graph with the adapters of the model, and its weights with those that are merged. Errors: `file`. */
export const readied = (graph: Graph, component: Component, { weights, adapters = [] }: Adaptable): Effect<Ready> =>
  effect(async (run) => {
    const own = adapters.map(({ adapter, weight, merge }, i) => ({
      name: `adapter.${i}`,
      changes: scaled(adapter[component] ?? {}, weight),
      merge,
    }))
    const beside = own.filter(({ merge }) => !merge)
    const changed = own.filter(({ merge }) => merge)
    const adapted = withAdapters(beside)(graph)
    const fed: Values = Object.assign({}, ...beside.map(({ name, changes }) => adapterFeeds(name, changes)))
    const ofGraph = (name: string): Readonly<Record<string, Value>> =>
      fed[name] === undefined ? {} : { [name]: fed[name] }
    const changesOf = (name: string): readonly LowRank[] => changed.flatMap(({ changes }) => changes[name] ?? [])
    const added: Values = Object.assign({}, ...parameters(adapted).map(({ name }) => ofGraph(name)))
    const { constants, files } = await run(bakedOf(graph, component, weights))
    const values: Record<string, Value> = { ...constants, ...added }
    const still: Record<string, FileArray> = {}
    for (const [name, file] of Object.entries(files))
      if (changesOf(name).length === 0) still[name] = file
      else values[name] = merged(await run(file.read), changesOf(name))
    for (const [name, value] of Object.entries(constants)) values[name] = merged(value, changesOf(name))
    return { graph: adapted, baked: { constants: values, files: still } }
  })
