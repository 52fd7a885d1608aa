import { type Effect, effect } from '../error.ts'
import type { Group } from '../execute/ranks/group.ts'
import type { Experiment } from '../experiment/document.ts'
import { E, TE } from '../prelude.ts'
import { followIn } from '../run/follow.ts'
import { isStop } from '../train/stop.ts'
import { stopOnSignals } from './signals.ts'
import { exitCodes, type Outcome, type Terminal } from './terminal.ts'

/** Trains with rank 0, whose run it is. */
export const followSession = (experiment: Experiment, group: Group, { err }: Terminal): Effect<Outcome> =>
  effect(async (run) => {
    const { rank, ranks } = group.placement
    const stop = stopOnSignals(() => {
      err(`rank ${rank} of ${ranks}: asking rank 0 to stop; once more to stop at once\n`)
      group.askStop()
    })
    try {
      const ended = await followIn({ experiment, executor: experiment.executor, group })()
      if (E.isLeft(ended) && isStop(ended.left)) {
        err(`rank ${rank} of ${ranks}: stopped\n`)
        return stop.exitCode()
      }
      await run(TE.fromEither(ended))
      err(`rank ${rank} of ${ranks}: done\n`)
      return exitCodes.done
    } finally {
      stop.dispose()
    }
  })
