/**
 * The only file that imports fp-ts and io-ts. Both are CommonJS packages whose deep paths (`fp-ts/Either`)
 * do not resolve in Node's ES modules, so everything comes from their roots, through here.
 */
import {
  type either,
  function as fn,
  type io,
  type option,
  type readonlyNonEmptyArray,
  type task,
  type taskEither,
} from 'fp-ts'

export {
  either as E,
  option as O,
  readonlyArray as RA,
  readonlyNonEmptyArray as RNEA,
  readonlyRecord as RR,
  task as T,
  taskEither as TE,
} from 'fp-ts'
export * as t from 'io-ts'

/** A value through functions, one after the other (`pipe`); functions joined to one (`flow`); what gives back what it is given. */
export const { pipe, flow, identity } = fn

export type Either<L, A> = either.Either<L, A>
export type IO<A> = io.IO<A>
export type Option<A> = option.Option<A>
export type ReadonlyNonEmptyArray<A> = readonlyNonEmptyArray.ReadonlyNonEmptyArray<A>
export type Task<A> = task.Task<A>
export type TaskEither<L, A> = taskEither.TaskEither<L, A>
