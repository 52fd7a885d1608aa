import type { Effect } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import { pipe, RR, TE } from '../../prelude.ts'
import { carried, omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, Executable, Executor, Stepper, Values } from '../executor.ts'
import { readingFiles } from '../files.ts'
import { defer } from '../lifetime.ts'
import type { Feeds } from './dense.ts'
import { evaluate, plan } from './evaluate.ts'
import { toDense, toValue } from './values.ts'

const values: (xs: Feeds) => Values = RR.map(toValue)
const dense: (xs: Values) => Feeds = RR.map(toDense)

type Compute = (feeds: Feeds) => Effect<Feeds>

const stepper = (compute: Compute, carry: Carry, initial: Feeds): Stepper => {
  const held = omit(initial, Object.values(carry))
  let state = only(initial, Object.values(carry))
  return {
    step: (feeds) =>
      pipe(
        compute({ ...held, ...state, ...dense(feeds) }),
        TE.map((results) => {
          state = carried(results, carry)
          return values(omit(results, Object.keys(carry)))
        }),
      ),
    read: TE.fromIO(() => values(state)),
    dispose: () => {},
  }
}

const executable = (graph: Graph, constants: Feeds): Executable => {
  const steps = plan(graph)
  const compute: Compute = (feeds) => defer(() => TE.fromEither(evaluate(steps, { ...constants, ...feeds })))
  return {
    run: (feeds) => pipe(compute(dense(feeds)), TE.map(values)),
    start: (carry, initial) => TE.right(stepper(compute, carry, dense(initial))),
    dispose: () => {},
  }
}

/**
 * The executable specification: every op in plain TypeScript and float64, slow and obvious. float32 results come
 * back as `Float64Array`, unrounded.
 */
export const reference: Executor = contracted({
  name: 'reference',
  compile: readingFiles((graph, { constants = {} }) => TE.right(executable(graph, dense(constants)))),
})
