import { type Effect, effect, showErrors } from '../error.ts'
import { chooseExecutor } from '../execute/choose.ts'
import type { Executor } from '../execute/executor.ts'
import type { Group } from '../execute/ranks/group.ts'
import { unlessLost, whileJoined } from '../execute/ranks/while-joined.ts'
import type { Experiment } from '../experiment/document.ts'
import type { Own } from '../experiment/own.ts'
import { imaging } from '../io/images.ts'
import { E, TE } from '../prelude.ts'
import { followExperiment } from '../train/followed.ts'
import { following } from '../train/ranks.ts'
import { isStop } from '../train/stop.ts'
import { openBase, openTexts } from './trained-run.ts'

/** Training in another process than that whose run it is. */
export interface FollowSession {
  readonly experiment: Experiment
  readonly own?: Own
  /** By its name, or itself. */
  readonly executor: string | Executor
  readonly group: Group
}

/** Trains with rank 0 of a group to the end, and leaves. Errors: those of `followExperiment` and of the executor. */
export const followIn = ({ experiment, own = {}, executor: asked, group }: FollowSession): Effect<void> =>
  effect(async (run) => {
    const followed = effect(async (go) => {
      const chosen = typeof asked === 'string' ? (await go(unlessLost(group)(chooseExecutor(asked)))).executor : asked
      await go(imaging)
      const executor = whileJoined(chosen, group)
      return go(followExperiment(experiment, { executor, own, openBase, openTexts, follows: following(group) }))
    })
    const ended = await followed()
    if (E.isRight(ended) || isStop(ended.left)) await group.leave()
    else group.fail(showErrors(ended.left))
    return run(TE.fromEither(ended))
  })
