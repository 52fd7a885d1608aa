import { E, type Either, RA, type ReadonlyNonEmptyArray, type TaskEither } from './prelude.ts'

/**
 * The closed set of what can go wrong:
 * - `shape`: an expression whose operands do not fit
 * - `graph`: graph data that is not a graph (dangling reference, wrong type, duplicate name)
 * - `lint`: a well-formed graph that cannot mean what was intended
 * - `config`: an experiment or another declared document
 * - `usage`: the command line
 * - `file`: a file that is missing, broken or refused
 * - `data`: pictures, captions, classes
 * - `compile`: a graph that an executor cannot take
 * - `run`: a program that cannot run with what it was fed
 * - `training`: a training run that cannot go on
 * - `stopped`: work that was asked to end before its end
 */
export type ErrorTag =
  | 'shape'
  | 'graph'
  | 'lint'
  | 'config'
  | 'usage'
  | 'file'
  | 'data'
  | 'compile'
  | 'run'
  | 'training'
  | 'stopped'

/** Bytes that a device was asked for, that are free there and that it has, as far as it says. */
export interface Shortage {
  readonly asked?: number
  readonly free?: number
  readonly limit?: number
}

/** One problem: where it is, what was expected there, what was found. */
export interface LatentError {
  readonly tag: ErrorTag
  /** The node's scope, the JSON pointer, the file or the input's name. */
  readonly at: string
  readonly expected: string
  readonly got: string
  readonly hint?: string
  /** The file and the line that a JSON pointer leads to: `graphs/emoji.json:41`. */
  readonly line?: string
  /** Where memory does not suffice. */
  readonly shortage?: Shortage
}

/** At least one error; what stands side by side is told together. */
export type Errors = ReadonlyNonEmptyArray<LatentError>

/** The result of pure code: a value, or every problem that stands side by side. */
export type Checked<A> = Either<Errors, A>

/** The result of an effect. */
export type Effect<A> = TaskEither<Errors, A>

export const failure = (tag: ErrorTag, at: string, expected: string, got: string, hint?: string): LatentError =>
  hint === undefined ? { tag, at, expected, got } : { tag, at, expected, got, hint }

export const fail = (...e: Parameters<typeof failure>): Either<Errors, never> => E.left([failure(...e)])

/** Validation applicative of `Checked`: accumulates the errors of all. */
export const collect = <A>(items: readonly Checked<A>[]): Checked<readonly A[]> => {
  const [errors, values]: [LatentError[], A[]] = [[], []]
  for (const item of items)
    if (E.isLeft(item)) errors.push(...item.left)
    else values.push(item.right)
  const [first, ...rest] = errors
  return first === undefined ? E.right(values) : E.left([first, ...rest])
}

/** How an error reads to a person. */
export const showError = (e: LatentError): string =>
  [
    e.at === '' ? `(${e.tag})` : e.at,
    `  expected ${e.expected}`,
    `  got      ${e.got}`,
    ...(e.hint === undefined ? [] : [`  hint     ${e.hint}`]),
    ...(e.line === undefined ? [] : [`  line     ${e.line}`]),
  ].join('\n')

/** All of them as text for people, a blank line between two. */
export const showErrors = (es: Errors): string => RA.map(showError)(es).join('\n\n')

/** Errors as one exception, for programs that throw: its message is what a person reads, `errors` are the data. */
export interface Thrown extends Error {
  readonly errors: Errors
}
const thrown = (errors: Errors): Thrown => Object.assign(new Error(showErrors(errors)), { name: 'LatentError', errors })
const valueOrThrow = <A>(result: Checked<A>): A => {
  if (E.isLeft(result)) throw thrown(result.left)
  return result.right
}

/**
 * The value of a result, or of an effect, which it runs, as a promise. Throws, or rejects with, one `Thrown` that says every problem.
 *
 * @example
 * const run = await orThrow(loadRun('runs/emoji'))
 */
export function orThrow<A>(effect: Effect<A>): Promise<A>
export function orThrow<A>(result: Checked<A>): A
export function orThrow<A>(given: Checked<A> | Effect<A>): A | Promise<A> {
  return typeof given === 'function' ? given().then(valueOrThrow) : valueOrThrow(given)
}

/** What a third-party exception says, for turning it into an error at the edge. */
export const reasonOf = (u: unknown): string => (u instanceof Error ? u.message : String(u))

/**
 * An effect written as straight-line code: `await run(other)` gives the other's value, or ends with its errors.
 * Any other exception is a bug and stays one.
 *
 * @example
 * const copy = effect(async (run) => run(write(await run(read))))
 */
export const effect =
  <A>(body: (run: <B>(other: Effect<B>) => Promise<B>) => Promise<A>): Effect<A> =>
  async () => {
    const left: { errors?: Errors } = {}
    const stop = Symbol('left')
    try {
      const value = await body(async (other) => {
        const result = await other()
        if (E.isRight(result)) return result.right
        left.errors = result.left
        throw stop
      })
      return E.right(value)
    } catch (reason) {
      if (reason === stop && left.errors !== undefined) return E.left(left.errors)
      throw reason
    }
  }
