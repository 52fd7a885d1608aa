import { type Checked, type Effect, effect, fail } from '../error.ts'
import { type FileArrays, floats, type Value, type Values } from '../execute/executor.ts'
import { type Graph, parameters } from '../graph/graph.ts'
import { filedArrays } from '../io/file-arrays.ts'
import type { StoredArray, UnreadArray, UnreadArrays } from '../io/stored.ts'
import { E, pipe, TE } from '../prelude.ts'

/** The weights of a published model: by component, each under the names of its network's parameters, still in their files. */
export type Component = 'unet' | 'firstStage' | 'classes' | 'boxes' | 'rescaler' | 'control' | `text.${number}`
export type Weights = Readonly<Record<string, UnreadArrays>>

const numbers = ({ data }: StoredArray): Float32Array => {
  if (data instanceof Float32Array) return data
  const out = new Float32Array(data.length)
  for (let i = 0; i < out.length; i++) out[i] = Number(data[i])
  return out
}

/** The arrays of a graph's parameters, by name and in their shapes. Errors: `file`, a parameter that no array is there for. */
const arraysOf = (graph: Graph, component: Component, weights: Weights): Checked<UnreadArrays> =>
  pipe(
    parameters(graph),
    E.traverseArray(({ name, shape }): Checked<readonly [string, UnreadArray]> => {
      const array = weights[component]?.[name]
      return array === undefined
        ? fail('file', component, `an array for ${name}`, 'none')
        : E.right([name, { ...array, shape }])
    }),
    E.map((arrays) => Object.fromEntries(arrays)),
  )

const read = (arrays: UnreadArrays): Effect<Values> =>
  effect(async (run) => {
    const values: (readonly [string, Value])[] = []
    for (const [name, array] of Object.entries(arrays))
      values.push([name, floats(array.shape, numbers(await run(array.read)))])
    return Object.fromEntries(values)
  })

/** Reads what a graph has parameters for, each once. Errors: `file`, a parameter that no array is there for. */
export const weightsOf = (graph: Graph, component: Component, weights: Weights): Effect<Values> =>
  pipe(TE.fromEither(arraysOf(graph, component, weights)), TE.flatMap(read))

/** The same without reading what executors can take from its file. */
export const bakedOf = (
  graph: Graph,
  component: Component,
  weights: Weights,
): Effect<{ readonly constants: Values; readonly files: FileArrays }> =>
  pipe(
    TE.fromEither(arraysOf(graph, component, weights)),
    TE.flatMap(filedArrays),
    TE.flatMap(({ files, others }) =>
      pipe(
        read(others),
        TE.map((constants) => ({ constants, files })),
      ),
    ),
  )
