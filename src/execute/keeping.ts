import { type Effect, effect } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { contentHash } from '../graph/hash.ts'
import { size } from '../graph/types.ts'
import type { IO } from '../prelude.ts'
import type { CompileOptions, Executable, Executor, Stepper } from './executor.ts'
import { lifetime } from './lifetime.ts'

/** How much is kept. What is in use stays, however much it is. */
export interface KeepingLimits {
  /** Programs. */
  readonly programs: number
  /** Bytes of the weights that they were compiled around, in single precision. */
  readonly bytes: number
}
export interface Keeping {
  readonly executor: Executor
  /** Ends all that was compiled. */
  readonly dispose: IO<void>
}

interface Kept {
  readonly key: string
  readonly program: Executable
  readonly bytes: number
  users: number
}

/** Numbers that stand for arrays in memory: the same for the same array. */
const identities = () => {
  const known = new WeakMap<object, number>()
  let next = 0
  return (of: object): number => {
    const found = known.get(of) ?? next++
    known.set(of, found)
    return found
  }
}

const bytesOf = ({ constants = {}, files = {} }: CompileOptions): number =>
  [...Object.values(constants), ...Object.values(files)].reduce((sum, { shape }) => sum + 4 * size(shape), 0)

/**
 * An executor that keeps what it compiled: the same graph around the same weights is compiled once, however often it is asked for, and
 * `dispose` of what it gives only says that it is not in use. The least recently used goes where the limits are passed.
 */
export const keeping = (engine: Executor, limits: KeepingLimits): Keeping => {
  const identityOf = identities()
  const kept: Kept[] = []
  const { during, end } = lifetime(engine.name, 'executor', () => {
    for (const { program } of kept.splice(0)) program.dispose()
  })
  const keyOf = (graph: Graph, { constants = {}, files = {}, ...options }: CompileOptions): string =>
    JSON.stringify([
      contentHash(graph),
      options,
      Object.entries(constants).map(([name, { data }]) => [name, identityOf(data)]),
      Object.entries(files).map(([name, { path, position, element }]) => [name, path, position, element]),
    ])
  /** Lets go what is not in use until so much more has room. */
  const makeRoom = (programs: number, bytes: number): void => {
    const isOver = (): boolean =>
      kept.length + programs > limits.programs || kept.reduce((sum, k) => sum + k.bytes, bytes) > limits.bytes
    while (isOver()) {
      const oldest = kept.findIndex(({ users }) => users === 0)
      if (oldest < 0) return
      for (const { program } of kept.splice(oldest, 1)) program.dispose()
    }
  }
  /** For one user. */
  const handle = (entry: Kept): Executable => {
    const steppers = new Set<Stepper>()
    entry.users += 1
    const own = lifetime(engine.name, 'executable', () => {
      for (const stepper of steppers) stepper.dispose()
      entry.users -= 1
      makeRoom(0, 0)
    })
    return {
      run: (feeds) => own.during(entry.program.run(feeds)),
      start: (carry, initial) =>
        own.during(
          effect(async (run) => {
            const stepper = await run(entry.program.start(carry, initial))
            steppers.add(stepper)
            return {
              ...stepper,
              dispose: () => {
                steppers.delete(stepper)
                stepper.dispose()
              },
            }
          }),
        ),
      dispose: own.end,
    }
  }
  const compile = (graph: Graph, options: CompileOptions): Effect<Executable> =>
    during(
      effect(async (run) => {
        const key = keyOf(graph, options)
        const at = kept.findIndex((k) => k.key === key)
        const [found] = at < 0 ? [] : kept.splice(at, 1)
        if (found !== undefined) {
          kept.push(found)
          return handle(found)
        }
        const bytes = bytesOf(options)
        makeRoom(1, bytes)
        const entry: Kept = { key, program: await run(engine.compile(graph, options)), bytes, users: 0 }
        kept.push(entry)
        return handle(entry)
      }),
    )
  return {
    executor: { ...engine, compile },
    dispose: end,
  }
}
