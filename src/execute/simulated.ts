import { feedTypes, type Graph, outputTypes } from '../graph/graph.ts'
import { type Half, isHalf, type TensorType } from '../graph/types.ts'
import { pipe, RR, TE } from '../prelude.ts'
import { simulate } from '../transform/index.ts'
import { only } from './carry.ts'
import type { Executable, Executor, Stepper, Value, Values } from './executor.ts'
import { explainAs } from './explain.ts'

const widened = (dtype: Half): ((values: Values) => Values) =>
  RR.map((v: Value): Value => (v.dtype === dtype ? { ...v, dtype: 'float32' } : v))
const named =
  (types: Readonly<Record<string, TensorType>>) =>
  (values: Values): Values =>
    RR.mapWithIndex((name, v: Value): Value => {
      const dtype = types[name]?.dtype
      return v.dtype === 'float32' && dtype !== undefined && isHalf(dtype) ? { ...v, dtype } : v
    })(values)

/**
 * An engine without arithmetic in `dtype` as one that has it: the same numbers, each result computed in float32 and rounded. It takes
 * longer than float32, not less.
 */
export const simulated =
  (dtype: Half) =>
  ({ name, compile, ...engine }: Executor): Executor => ({
    name,
    ...explainAs(engine, simulate(dtype)),
    compile: (graph, options) => {
      const rounded = simulate(dtype)(graph)
      if (rounded === graph) return compile(graph, options)
      const { constants, ...others } = options
      const wide = widened(dtype)
      return pipe(
        compile(rounded, { ...others, ...(constants === undefined ? {} : { constants: wide(constants) }) }),
        TE.map((engine) => executable(engine, graph, wide)),
      )
    },
  })

const executable = (engine: Executable, graph: Graph, wide: (values: Values) => Values): Executable => {
  const [outputs, leaves] = [named(outputTypes(graph)), feedTypes(graph)]
  return {
    run: (feeds) => pipe(engine.run(wide(feeds)), TE.map(outputs)),
    start: (carry, initial) =>
      pipe(
        engine.start(carry, wide(initial)),
        TE.map(
          (stepper): Stepper => ({
            step: (feeds) => pipe(stepper.step(wide(feeds)), TE.map(outputs)),
            read: pipe(stepper.read, TE.map(named(only(leaves, Object.values(carry))))),
            dispose: stepper.dispose,
          }),
        ),
      ),
    dispose: engine.dispose,
  }
}
