import type { Effect, Errors } from '../../error.ts'
import { E, pipe, TE } from '../../prelude.ts'
import { eachStep } from '../carry.ts'
import type { Executor } from '../executor.ts'
import type { Group } from './group.ts'

/** What an engine says when another process has gone comes before, or behind, the word that it has; so long (ms) that is waited for. */
const soon = 2000

/** Work that ends where one of a group has gone: by itself it might wait for that one for ever. */
export const unlessLost =
  (group: Group) =>
  <A>(work: Effect<A>): Effect<A> =>
  async () => {
    const own: { takeBack?: () => void; timer?: NodeJS.Timeout } = {}
    const lost = new Promise<ReturnType<typeof E.left<Errors, A>>>((resolve) => {
      own.takeBack = group.onLost((errors) => resolve(E.left(errors)))
    })
    try {
      const ended = await Promise.race([lost, work()])
      if (E.isRight(ended)) return ended
      const late = new Promise<typeof ended>((resolve) => {
        own.timer = setTimeout(() => resolve(ended), soon)
      })
      return await Promise.race([lost, late])
    } finally {
      clearTimeout(own.timer)
      own.takeBack?.()
    }
  }

/** An executor that waits for nothing once one of a group has gone: the error is the group's then. */
export const whileJoined = (executor: Executor, group: Group): Executor => {
  const whole = unlessLost(group)
  return {
    ...executor,
    compile: (graph, options) =>
      pipe(
        whole(executor.compile(graph, options)),
        TE.map((executable) => ({
          ...executable,
          run: (feeds) => whole(executable.run(feeds)),
          start: (carry, initial) =>
            pipe(
              whole(executable.start(carry, initial)),
              TE.map(eachStep(whole)),
              TE.map((stepper) => ({ ...stepper, read: whole(stepper.read) })),
            ),
        })),
      ),
  }
}
