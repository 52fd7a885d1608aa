import {
  add,
  at,
  buffer,
  cast,
  floor,
  gather,
  indicator,
  integers,
  less,
  mul,
  noise,
  reshape,
  scalar,
  select,
  sub,
  sum,
  type Tensor,
  transpose,
} from '../declare/index.ts'
import { size } from '../graph/types.ts'
import { codeCounts } from '../nn/quantize.ts'
import { O, type Option, pipe, RR } from '../prelude.ts'
import { about, type Decoded, describedRecord, integer, number, withDefault } from '../schema.ts'
import { type Amendment, flat } from './optimizer.ts'

/** When codes are dead: chosen fewer than `below` times within `every` steps. */
export const restartConfig = describedRecord(
  {},
  {
    every: about(
      'Steps over which the choices of each code are counted.',
      withDefault(integer({ min: 1, max: 1e9 }), 100),
    ),
    below: about(
      'A code that was chosen fewer times than this is dead and moves.',
      withDefault(number({ above: 0, max: 1e9 }), 1),
    ),
  },
)
/** `restartConfig`, decoded. */
export type Restart = Decoded<typeof restartConfig>

/** A pass through a quantiser: the latents [N, dim, h, w] as they came, and the codes int32[N, h, w] chosen for them. */
export interface Coded {
  readonly latents: Tensor
  readonly codes: Tensor
}

/** Evenly spread positions for so many codes, from a drawn one on: all different, as far as there are that many positions. */
const positions = (codes: number, count: number): Tensor => {
  const stride = Math.max(1, Math.floor(count / codes))
  const spread = integers(Array.from({ length: codes }, (_, k) => (k * stride) % count))
  const first = pipe(noise('codebook.restart', [1], 'uniform'), mul(count), floor, cast('int32'))
  const reached = pipe(spread, add(first))
  return pipe(reached, less(count), select(reached, pipe(reached, sub(count))))
}

/**
 * Moves dead codes of the codebook `name` [entries, dim] to where latents of the batch are, each to a position of its own; their
 * moments begin anew, their averages at the new place, and every other number keeps its bits. How often codes were chosen is
 * state, `optimizer.usage.<name>` [entries]. Logs `restarted_codes`. Source: the random restarts of Dhariwal et al. 2020
 * (Jukebox), section 3.1.
 */
export const restartDeadCodes = (
  name: string,
  entries: number,
  { every, below }: Restart,
  { latents, codes }: Coded,
): Amendment => ({
  scope: 'codebook',
  scalars: ['due'],
  at: (step) => ({ due: step % every === 0 ? 1 : 0 }),
  amend: (left, { due = scalar(0) }) => {
    const [n = 0, dim = 0, ...sides] = latents.shape
    const count = n * size(sides)
    const usage = pipe(buffer('optimizer.usage', name, [entries], { kind: 'zeros' }), add(codeCounts(entries)(codes)))
    const dead = pipe(usage, less(pipe(due, mul(below))), reshape(entries, 1))
    const places = pipe(latents, transpose(0, 2, 3, 1), reshape(count, dim), gather(positions(entries, count)))
    const instead = (leaf: string): Option<Tensor> =>
      leaf === name || (leaf.startsWith('ema.') && leaf.endsWith(`.shadow.${name}`))
        ? O.some(places)
        : leaf.startsWith('optimizer.') && leaf.endsWith(`.${name}`)
          ? O.some(scalar(0))
          : O.none
    const rows = (x: Tensor) => (fresh: Tensor) =>
      pipe(dead, select(fresh, pipe(x, reshape(entries, dim))), reshape(...x.shape))
    return {
      state: {
        ...pipe(
          left,
          RR.filterMapWithIndex((leaf, x: Tensor) => pipe(instead(leaf), O.map(rows(x)))),
        ),
        [at('optimizer.usage', name)]: pipe(usage, mul(pipe(scalar(1), sub(due)))),
      },
      log: { restarted_codes: pipe(dead, indicator, flat, sum()) },
    }
  },
})
