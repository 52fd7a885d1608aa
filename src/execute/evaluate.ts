import { freeze } from '../declare/index.ts'
import type { Tensor } from '../declare/tensor.ts'
import { type Effect, effect } from '../error.ts'
import { size } from '../graph/types.ts'
import { pipe, RR, TE } from '../prelude.ts'
import { type Executor, emptyValue, type Value, type Values } from './executor.ts'
import { reference } from './reference/index.ts'

/**
 * What expressions are worth: frozen, compiled and run once, on the reference in float64 unless another executor is given. `feeds` has what
 * their leaves hold, parameters and noise included, by name. Errors: shape errors as of `freeze`; `compile`; `run`, such as a feed that is
 * missing.
 *
 * @example
 * const { y } = await orThrow(evaluate({ y: pipe(vector([1, 2, 3]), square, sum()) }))
 * console.log(y.data[0]) // 14
 */
export const evaluate = <K extends string>(
  outputs: Readonly<Record<K, Tensor>>,
  feeds: Values = {},
  executor: Executor = reference,
): Effect<Readonly<Record<K, Value>>> =>
  effect(async (run) => {
    const graph = await run(TE.fromEither(freeze(outputs)))
    const executable = await run(executor.compile(graph, { mode: 'training' }))
    const ran = await executable.run(feeds)()
    executable.dispose()
    const values = await run(TE.fromEither(ran))
    return pipe(
      outputs,
      RR.mapWithIndex(
        (name: K, { type: { dtype, shape } }: Tensor) => values[name] ?? emptyValue(dtype, shape, size(shape)),
      ),
    )
  })
