/**
 * The only file that imports fp-ts and io-ts. Both are CommonJS packages whose deep paths (`fp-ts/Either`)
 * do not resolve in Node's ES modules, so everything comes from their roots, through here.
 */
export {
  array as A,
  either as E,
  nonEmptyArray as NEA,
  option as O,
  readonlyArray as RA,
  readonlyRecord as RR,
  task as T,
  taskEither as TE,
} from 'fp-ts'
export type { Either } from 'fp-ts/lib/Either.js'
export { flow, identity, pipe } from 'fp-ts/lib/function.js'
export type { IO } from 'fp-ts/lib/IO.js'
export type { Option } from 'fp-ts/lib/Option.js'
export type { ReadonlyNonEmptyArray } from 'fp-ts/lib/ReadonlyNonEmptyArray.js'
export type { Task } from 'fp-ts/lib/Task.js'
export type { TaskEither } from 'fp-ts/lib/TaskEither.js'
export * as t from 'io-ts'
