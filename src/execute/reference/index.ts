import { type Checked, type Effect, fail } from '../../error.ts'
import { feedTypes, type Graph, outputTypes } from '../../graph/graph.ts'
import { E, pipe, RR, TE } from '../../prelude.ts'
import type { Carry, Executable, Executor, Stepper, Values } from '../executor.ts'
import { carried, checkCarry, omit, only } from './carry.ts'
import type { Feeds } from './dense.ts'
import { evaluate, plan } from './evaluate.ts'
import { checkValues, type Types, toValue } from './values.ts'

const values: (xs: Feeds) => Values = RR.map(toValue)

/** Effects that work until the end, and are `run` errors from then on. */
const life = (what: string) => {
  let over = false
  return {
    end: () => {
      over = true
    },
    during:
      <A>(compute: () => Checked<A>): Effect<A> =>
      async () =>
        over ? fail('run', 'reference', `a live ${what}`, 'one that was disposed of') : compute(),
  }
}

type Compute = (feeds: Feeds) => Checked<Feeds>

const stepper = (compute: Compute, carry: Carry, fed: Types, initial: Feeds): Stepper => {
  const { during, end } = life('stepper')
  let state = initial
  return {
    step: (feeds) =>
      during(() =>
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
    read: during(() => E.right(values(state))),
    dispose: end,
  }
}

const executable = (graph: Graph, constants: Feeds): Executable => {
  const steps = plan(graph)
  const open = omit(feedTypes(graph), Object.keys(constants))
  const { during, end } = life('executable')
  const compute: Compute = (feeds) => evaluate(steps, { ...constants, ...feeds })
  return {
    run: (feeds) => during(() => pipe(feeds, checkValues('run', open), E.chain(compute), E.map(values))),
    start: (carry, initial) =>
      during(() =>
        pipe(
          checkCarry(carry, outputTypes(graph), open),
          E.chain((state) => checkValues('run', state)(initial)),
          E.map((first) => stepper(compute, carry, omit(open, Object.keys(first)), first)),
        ),
      ),
    dispose: end,
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
