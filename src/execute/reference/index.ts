import { type Checked, type Effect, fail } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import type { Executable, Executor, Values } from '../executor.ts'
import { carried, checkCarry, omit, only } from './carry.ts'
import type { Feeds } from './dense.ts'
import { evaluate, plan } from './evaluate.ts'
import { checkValues, toValue } from './values.ts'

const values: (xs: Feeds) => Values = RR.map(toValue)

/** An effect that refuses to run once `disposed` says so. */
const unless =
  <A>(disposed: () => boolean, what: string, compute: () => Checked<A>): Effect<A> =>
  async () =>
    disposed() ? fail('run', 'reference', what, 'one that was disposed of') : compute()

const executable = (graph: Graph, constants: Feeds): Executable => {
  const steps = plan(graph)
  const types = feedTypes(graph)
  const open = omit(types, Object.keys(constants))
  let disposed = false
  const live = <A>(compute: () => Checked<A>): Effect<A> => unless(() => disposed, 'a live executable', compute)
  const compute = (feeds: Feeds): Checked<Feeds> => evaluate(steps, { ...constants, ...feeds })
  return {
    run: (feeds) => live(() => pipe(feeds, checkValues('run', open), E.chain(compute), E.map(values))),
    start: (carry, initial) =>
      live(() =>
        pipe(
          checkCarry(carry, outputTypes(graph), open),
          E.chain((state) => checkValues('run', state)(initial)),
          E.map((first) => {
            const fed = omit(open, Object.keys(first))
            let state = first
            let stopped = false
            const running = <A>(f: () => Checked<A>): Effect<A> =>
              unless(() => disposed || stopped, 'a live stepper', f)
            return {
              step: (feeds) =>
                running(() =>
                  pipe(
                    feeds,
                    checkValues('run', fed),
                    E.chain((checked) => compute({ ...state, ...checked })),
                    E.map((results) => {
                      state = carried(results, carry)
                      return values(omit(results, Object.keys(carry)))
                    }),
                  ),
                ),
              read: running(() => E.right(values(state))),
              dispose: () => {
                stopped = true
              },
            }
          }),
        ),
      ),
    dispose: () => {
      disposed = true
    },
  }
}

/**
 * The executable specification: every op in plain TypeScript and float64, slow and obvious. float32 results come
 * back as `Float64Array`, unrounded.
 */
export const reference: Executor = {
  name: 'reference',
  compile: (graph, { constants = {} }) =>
    pipe(
      constants,
      checkValues('compile', only(feedTypes(graph), Object.keys(constants))),
      E.map((baked) => executable(graph, baked)),
      TE.fromEither,
    ),
}
