import {
  add,
  argMax,
  buffer,
  cast,
  constant,
  div,
  equal,
  floor,
  gather,
  indicator,
  less,
  log,
  maximum,
  mean,
  mul,
  neg,
  noise,
  reciprocal,
  reduceMax,
  reshape,
  type Scope,
  scalar,
  scatterAdd,
  select,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  vector,
} from '../declare/index.ts'
import { int } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import type { DrawnTimes } from './times.ts'

/** Losses that are remembered of each timestep. */
const remembered = 10
/** The share of timesteps that are drawn uniformly. */
const uniformShare = 1e-3

/** Names of the buffers: the last losses of each timestep [T, 10], and how many there have been. */
export const importanceBuffers = { losses: 'timestep_losses', counts: 'timestep_counts' } as const

/** Times, and what the step leaves of their losses: every item's, [N]. */
export interface ImportanceTimes extends DrawnTimes {
  readonly record: (each: Tensor) => Readonly<Record<string, Tensor>>
}

/** How many earlier, and how many later items have the same timestep, [N]. */
const namesakes = (t: Tensor, n: number): { readonly earlier: Tensor; readonly later: Tensor } => {
  const order = vector(Array.from({ length: n }, (_, i) => i))
  const [down, across] = [reshape(n, 1)(order), reshape(1, n)(order)]
  const same = pipe(reshape(n, 1)(t), equal(reshape(1, n)(t)), indicator)
  const count = (which: Tensor): Tensor => pipe(same, mul(indicator(which)), sum({ axes: [1] }))
  return { earlier: count(pipe(across, less(down))), later: count(pipe(down, less(across))) }
}

/** Where 10 losses have been seen the count stays between 10 and 20. */
const wrapped = (counts: Tensor): Tensor =>
  pipe(counts, sub(pipe(counts, sub(remembered), maximum(0), div(remembered), floor, mul(remembered))))

/**
 * Timesteps by importance: with probabilities as the roots of the mean squared losses that were last seen of each, and uniformly until
 * 10 have been seen of all; losses are corrected for it (Nichol and Dhariwal 2021, section 3.3; `LossSecondMomentResampler` of
 * guided-diffusion). Drawn as the largest of log p + Gumbel noise.
 */
export const importanceTimes = (scope: Scope, timesteps: number, n: number): ImportanceTimes => {
  const losses = buffer(scope, importanceBuffers.losses, [timesteps, remembered], { kind: 'zeros' })
  const counts = buffer(scope, importanceBuffers.counts, [timesteps], { kind: 'zeros' })
  const size = pipe(losses, square, mean({ axes: [1] }), sqrt)
  const total = pipe(size, sum(), maximum(1e-30))
  const learnt = pipe(size, div(total), mul(1 - uniformShare), add(uniformShare / timesteps))
  const seen = neg(pipe(neg(counts), reduceMax()))
  const few = pipe(seen, less(remembered - 0.5))
  const p = pipe(few, select(scalar(1 / timesteps), learnt))
  const u = pipe(noise('timestep', [n, timesteps], 'uniform'), maximum(1e-30))
  const gumbel = neg(log(neg(log(u))))
  const t = pipe(gumbel, add(pipe(log(p), reshape(1, timesteps))), argMax(1), cast('int32'))
  return {
    t,
    correction: reciprocal(pipe(p, gather(t), mul(timesteps))),
    corrects: 'everything',
    record: (each) => {
      const { earlier, later } = namesakes(t, n)
      const place = pipe(counts, gather(t), add(earlier))
      const slot = pipe(place, sub(pipe(place, div(remembered), floor, mul(remembered))), cast('int32'))
      const at = pipe(t, mul(constant([remembered], int())), add(slot))
      const kept = pipe(later, less(remembered - 0.5), indicator)
      const over = pipe(kept, scatterAdd(at, timesteps * remembered), reshape(timesteps, remembered))
      const fresh = pipe(each, mul(kept), scatterAdd(at, timesteps * remembered), reshape(timesteps, remembered))
      const more = pipe(vector(Array.from({ length: n }, () => 1)), scatterAdd(t, timesteps))
      return {
        [importanceBuffers.losses]: pipe(losses, mul(pipe(neg(over), add(1))), add(fresh)),
        [importanceBuffers.counts]: wrapped(pipe(counts, add(more))),
      }
    },
  }
}
