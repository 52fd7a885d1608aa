import { type Effect, effect, failure } from '../error.ts'
import type { Group } from '../execute/ranks/group.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import { sha256 } from '../io/bytes.ts'
import { E, pipe, TE } from '../prelude.ts'
import { type Decoded, decode, integer, number, record, tagged, text, word } from '../schema.ts'

/**
 * Several processes that train together. Rank 0 is the run: it writes the folder, draws and measures. The others follow it: they have the
 * same data and the same state, take the steps that it says it takes, and write nothing.
 */

const order = tagged('kind', {
  /** A stage's steps begin, or begin again: with the state of a checkpoint, or with the one before the first step. */
  start: record({}, {}, { checkpoint: text }),
  /** A step is taken; the first is 0. */
  step: record({ step: integer({ min: 0 }) }),
  /** A stage has come to its end, with the state of a checkpoint. */
  'stage-done': record({ checkpoint: text }),
  /** What latents are multiplied by. */
  encoded: record({ scale: number() }),
  over: record({ how: word(['done', 'stopped']) }),
})
/** What rank 0 says that is done. */
export type Order = Decoded<typeof order>

/** Rank 0. */
export interface Leader {
  readonly say: (order: Order) => void
  /** Says what all must have alike. */
  readonly same: (what: string, value: string) => void
  /** Waits until all have come as far. */
  readonly together: Effect<void>
}
/** Another rank. Errors of all: `run`, one of all has gone. */
export interface Follower {
  readonly hear: Effect<Order>
  /** Errors (`training`): rank 0 has another. */
  readonly same: (what: string, value: string) => Effect<void>
  readonly together: Effect<void>
}

const numbered = (name: string) => {
  let n = 0
  return () => `${name} ${n++}`
}
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)

export const leading = (group: Group): Leader => {
  const { ranks } = group.placement
  const [orders, meetings, things] = [numbered('order'), numbered('meeting'), numbered('thing')]
  const followers = Array.from({ length: ranks - 1 }, (_, i) => i + 1)
  return {
    say: (said) => group.put(orders(), bytes(JSON.stringify(said)), followers.length),
    same: (what, value) => group.put(`${things()}, ${what}`, bytes(sha256(bytes(value))), followers.length),
    together: effect(async (run) => {
      const meeting = meetings()
      for (const rank of followers) await run(group.get(`${meeting} of rank ${rank}`))
    }),
  }
}

export const following = (group: Group): Follower => {
  const { rank, ranks } = group.placement
  const [orders, meetings, things] = [numbered('order'), numbered('meeting'), numbered('thing')]
  const heard = (key: string): Effect<string> =>
    pipe(
      group.get(key),
      TE.map((value) => new TextDecoder().decode(value)),
    )
  return {
    hear: effect(async (run) => {
      const key = orders()
      const said = await run(heard(key))
      return run(TE.fromEither(pipe(parseJsonText(said, key), E.flatMap(decode(order, { tag: 'run' })))))
    }),
    same: (what, value) =>
      effect(async (run) => {
        if ((await run(heard(`${things()}, ${what}`))) === sha256(bytes(value))) return
        const hint = 'every rank is started with the same file, the same --set and the same data'
        await run(
          TE.left([failure('training', `rank ${rank} of ${ranks}`, `${what} as rank 0 has it`, 'another', hint)]),
        )
      }),
    together: effect(async () => group.put(`${meetings()} of rank ${rank}`, new Uint8Array(), 1)),
  }
}
