import { freeze, input, neg } from '../declare/index.ts'
import type { Effect } from '../error.ts'
import { float } from '../graph/types.ts'
import { pipe, TE } from '../prelude.ts'
import type { Executor } from './executor.ts'

const smallest = freeze({ y: neg(input('x', float(1))) })

/** The executor, if it can compile here: otherwise the `compile` error that says what was found and what to install. */
export const ready = (executor: Executor): Effect<Executor> =>
  pipe(
    TE.fromEither(smallest),
    TE.chain((graph) => executor.compile(graph, { mode: 'training' })),
    TE.map((program) => {
      program.dispose()
      return executor
    }),
  )
