import { type Effect, type Errors, failure } from '../error.ts'
import { pipe, TE } from '../prelude.ts'

/** An effect that is put together when it runs. */
export const defer =
  <A>(make: () => Effect<A>): Effect<A> =>
  () =>
    make()()

/** Effects that work until the end, and are `run` errors from then on. */
export const lifetime = (at: string, what: string, atEnd: () => void) => {
  let over = false
  return {
    end: () => {
      if (!over) atEnd()
      over = true
    },
    during: <A>(effect: Effect<A>): Effect<A> =>
      defer(() => (over ? TE.left([failure('run', at, `a live ${what}`, 'one that was disposed of')]) : effect)),
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
