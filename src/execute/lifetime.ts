import { type Effect, type Errors, failure } from '../error.ts'
import { E, pipe, TE } from '../prelude.ts'

/** An effect that is put together when it runs. */
export const defer =
  <A>(make: () => Effect<A>): Effect<A> =>
  () =>
    make()()

/** Effects that work until the end, and are `run` errors from then on. What they use is let go of when the last of them is done. */
export const lifetime = (at: string, what: string, atEnd: () => void) => {
  let [over, users] = [false, 0]
  const leave = (): void => {
    users--
    if (over && users === 0) atEnd()
  }
  return {
    end: (): void => {
      if (over) return
      over = true
      if (users === 0) atEnd()
    },
    /** Puts off what is done at the end until what it returns is called, once. */
    use: (): (() => void) => {
      users++
      return leave
    },
    during: <A>(effect: Effect<A>): Effect<A> =>
      defer(() => {
        if (over) return TE.left([failure('run', at, `a live ${what}`, 'one that was disposed of')])
        users++
        return () => effect().finally(leave)
      }),
  }
}

/** An effect that is done once for all who ask for it; where it failed, anew for who asks next. */
export const remembered = <A>(effect: Effect<A>): Effect<A> => {
  let begun: ReturnType<Effect<A>> | undefined
  const attempted: Effect<A> = async () => {
    const made = await effect()
    if (E.isLeft(made)) begun = undefined
    return made
  }
  return () => {
    begun ??= attempted()
    return begun
  }
}

/** Effects of which one runs, and all others are `run` errors. */
export const once = (at: string) => {
  let taken = false
  return <A>(effect: Effect<A>): Effect<A> =>
    defer(() => {
      if (taken) return TE.left([failure('run', at, 'a step that was not taken', 'one that was')])
      taken = true
      return effect
    })
}

/** One effect after another; a `run` error where a second begins while one runs. */
export const exclusive = (at: string) => {
  let busy = false
  const done = <A>(a: A): A => {
    busy = false
    return a
  }
  return <A>(effect: Effect<A>): Effect<A> =>
    defer(() => {
      if (busy) return TE.left([failure('run', at, 'one step after another', 'a step while another runs')])
      busy = true
      return pipe(effect, TE.bimap(done<Errors>, done<A>))
    })
}
