import { add, leafName, mul, sub, type Tensor, topological } from '../declare/index.ts'
import { floats, type Values } from '../execute/executor.ts'
import { size } from '../graph/types.ts'
import { flat, scalarInputs, shaped, slot, stateOutputs, type Tensors } from '../optimizers/index.ts'
import { pipe, RR } from '../prelude.ts'
import { accumulationScope } from './state.ts'

/** Means over the parts so far, and the sums that are carried to the next part, by the names of their leaves. */
interface Summed {
  readonly means: Tensors
  readonly sums: Tensors
}

/**
 * A step over several batches, its parts, that run one after another, so that the activations of one at a time are there. A part adds
 * its gradients and metrics to sums that stay on the device; all parts run one graph, and the last one's state is kept:
 *
 *     sum' = sum - first sum + g        state' = state - last state + last update(state, sum' / parts)
 *
 * with first and last, which are fed, 0 or 1. Both differences are exact, so nothing is left of the step before.
 */
export interface Accumulation {
  /** Of each part: its own scalars. */
  readonly feeds: (part: number) => Values
  readonly mean: (slot: string, xs: Tensors) => Summed
  /** What each leaf of the state becomes: told what the update of the last part makes it. */
  readonly atLast: (state: Tensors) => Tensors
}

const whole: Accumulation = {
  feeds: () => ({}),
  mean: (_, means) => ({ means, sums: {} }),
  atLast: (state) => state,
}

const leavesOf = (state: Tensors): ReadonlyMap<string, Tensor> =>
  new Map(
    topological(Object.values(state)).flatMap((x) => {
      const name = leafName(x)
      return name === undefined ? [] : [[name, x] as const]
    }),
  )

const flag = (is: boolean): Values[string] => floats([], Float32Array.of(is ? 1 : 0))

/** So many parts a step; one is an ordinary step. */
export const accumulating = (parts: number): Accumulation => {
  if (parts === 1) return whole
  const { first, last } = scalarInputs(accumulationScope, ['first', 'last'])
  return {
    feeds: (part) => ({
      [`${accumulationScope}.first`]: flag(part === 0),
      [`${accumulationScope}.last`]: flag(part === parts - 1),
    }),
    mean: (name, xs) => {
      const sofar = slot(accumulationScope, name, xs)
      const sums = pipe(
        xs,
        RR.mapWithIndex((k, x: Tensor) => {
          const sum = flat(sofar[k] ?? x)
          return pipe(sum, sub(pipe(sum, mul(first))), add(flat(x)))
        }),
      )
      return {
        means: pipe(
          xs,
          RR.mapWithIndex((k, x: Tensor) => pipe(sums[k] ?? x, mul(1 / parts), shaped(x.shape))),
        ),
        sums: stateOutputs(accumulationScope, {
          [name]: pipe(
            xs,
            RR.mapWithIndex((k, x: Tensor) => pipe(sums[k] ?? x, shaped(x.shape))),
          ),
        }),
      }
    },
    atLast: (state) => {
      const leaves = leavesOf(state)
      return pipe(
        state,
        RR.mapWithIndex((name, x: Tensor) => {
          const old = flat(leaves.get(name) ?? x)
          return pipe(old, sub(pipe(old, mul(last))), add(pipe(flat(x), mul(last))), shaped(x.shape))
        }),
      )
    },
  }
}

/** The sums before the first part. */
export const emptySums = (sums: Tensors): Values =>
  pipe(
    sums,
    RR.map(({ shape }: Tensor) => floats(shape, new Float32Array(size(shape)))),
  )
