import { type Effect, type Errors, effect, failure, type LatentError } from '../error.ts'
import { eachStep } from '../execute/carry.ts'
import type { Executor } from '../execute/executor.ts'
import { pipe, TE } from '../prelude.ts'

/** What work ends with that was asked to end. */
export const stopped = (): LatentError => failure('stopped', '', 'to come to its end', 'a request to stop')
export const isStop = (errors: Errors): boolean => errors.some(({ tag }) => tag === 'stopped')

/**
 * An executor that begins nothing once a stop is asked for, so that whatever runs batch after batch or step after step ends soon.
 * Steppers that train go on: training ends them by itself, behind a checkpoint.
 */
export const stoppable = (executor: Executor, stopping: () => boolean): Executor => {
  const unlessStopping = <A>(work: Effect<A>): Effect<A> =>
    effect(async (run) => run(stopping() ? TE.left([stopped()]) : work))
  return {
    name: executor.name,
    compile: (graph, options) =>
      pipe(
        unlessStopping(executor.compile(graph, options)),
        TE.map((executable) => ({
          ...executable,
          run: (feeds) => unlessStopping(executable.run(feeds)),
          start: (carry, initial) =>
            options.mode === 'training'
              ? executable.start(carry, initial)
              : pipe(executable.start(carry, initial), TE.map(eachStep(unlessStopping))),
        })),
      ),
  }
}
