import { at, freeze, type Tensor } from '../declare/index.ts'
import type { Effect } from '../error.ts'
import { type Carry, type Executor, floats, type Value, type Values } from '../execute/executor.ts'
import type { Graph } from '../graph/graph.ts'
import { type Shape, size } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { optimise } from '../transform/index.ts'

/** A training step as a graph, and what it is fed at each step. */
export interface Stepping {
  /** Outputs of the step that are the state of the next, under the names of its leaves. */
  readonly state: Readonly<Record<string, Tensor>>
  readonly outputs: Readonly<Record<string, Tensor>>
  readonly initial: Values
  readonly feeds: readonly Values[]
}

/** What a step gave, and the state after it. */
export interface Stepped {
  readonly outputs: Values
  readonly state: Values
}

const identityOf = (names: readonly string[]): Readonly<Record<string, string>> =>
  Object.fromEntries(names.map((name) => [name, name]))

/** A step graph, ready to be compiled. */
export interface CompiledStepping extends Pick<Stepping, 'initial' | 'feeds'> {
  readonly graph: Graph
  readonly carry: Carry
  /** What no step moves. */
  readonly constants?: Values
}

/** Runs the steps one after the other, the state kept where the executor keeps it. */
export const runGraph =
  ({ graph, carry, initial, feeds, constants = {} }: CompiledStepping) =>
  (executor: Executor): Effect<readonly Stepped[]> =>
    pipe(
      executor.compile(graph, { mode: 'training', constants }),
      TE.flatMap((executable) =>
        pipe(
          executable.start(carry, initial),
          TE.flatMap((stepper) =>
            pipe(
              feeds,
              TE.traverseSeqArray((fed) =>
                pipe(
                  stepper.step(fed),
                  TE.bindTo('outputs'),
                  TE.bind('state', () => stepper.read),
                ),
              ),
              TE.tapIO(() => stepper.dispose),
            ),
          ),
          TE.tapIO(() => executable.dispose),
        ),
      ),
    )

/** Freezes and runs the steps. */
export const runSteps =
  ({ state, outputs, initial, feeds }: Stepping) =>
  (executor: Executor): Effect<readonly Stepped[]> =>
    pipe(
      freeze({ ...state, ...outputs }, { sharing: 'by name' }),
      E.map(optimise),
      TE.fromEither,
      TE.flatMap((graph) => runGraph({ graph, carry: identityOf(Object.keys(state)), initial, feeds })(executor)),
    )

/** Named values under a prefix. */
export const prefixed = (prefix: string, values: Values): Values =>
  Object.fromEntries(Object.entries(values).map(([name, value]: readonly [string, Value]) => [prefix + name, value]))

export const scalarValue = (x: number): Value => floats([], Float64Array.of(x))

/** Zeros for a slot beside every parameter. */
export const emptySlots = (scope: string, slots: readonly string[], shapes: Readonly<Record<string, Shape>>): Values =>
  Object.fromEntries(
    slots.flatMap((slot) =>
      Object.entries(shapes).map(([k, shape]) => [
        at(at(scope, slot), k),
        floats(shape, new Float64Array(size(shape))),
      ]),
    ),
  )

/** The scalars of a moment under the names of their leaves, those that the step graph has. */
export const fedScalars = (scope: string, names: readonly string[], values: Readonly<Record<string, number>>): Values =>
  Object.fromEntries(names.map((name) => [at(scope, name), scalarValue(values[name] ?? Number.NaN)]))
