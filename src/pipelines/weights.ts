import { type Effect, effect, fail } from '../error.ts'
import { floats, type Values } from '../execute/executor.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import type { StoredArray, UnreadArrays } from '../io/stored.ts'
import { TE } from '../prelude.ts'

/** The weights of a published model: by component, each under the names of its network's parameters, still in their files. */
export type Component = 'unet' | 'firstStage' | 'classes' | 'control' | `text.${number}`
export type Weights = Readonly<Record<string, UnreadArrays>>

const numbers = ({ data }: StoredArray): Float32Array =>
  data instanceof Float32Array ? data : Float32Array.from<number | bigint>(data, Number)

/** Reads what a graph has parameters for, each once. Errors: `file`, a parameter that no array is there for. */
export const weightsOf = (graph: Graph, component: Component, weights: Weights): Effect<Values> =>
  effect(async (run) => {
    const found = weights[component] ?? {}
    const values: Record<string, Values[string]> = {}
    for (const { name, shape } of parameters(graph)) {
      const array = found[name]
      if (array === undefined) return run(TE.fromEither(fail('file', component, `an array for ${name}`, 'none')))
      values[name] = floats(shape, numbers(await run(array.read)))
    }
    return values
  })
