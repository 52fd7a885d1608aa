import { type Effect, effect } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import { pipe, TE } from '../../prelude.ts'
import { omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, CompileOptions, Executable, Executor, Stepper, Values } from '../executor.ts'
import { readingFiles } from '../files.ts'
import { remembered } from '../lifetime.ts'
import { threadsHere } from '../onnx/threads.ts'
import { bestOn, type How, planned } from './compile.ts'
import { piecesFor } from './costs.ts'
import { explained } from './explain.ts'
import { type Library, library } from './load.ts'
import { ownership } from './ownership.ts'
import { type Program, programOf } from './program.ts'

interface Compiled {
  readonly library: Library
  readonly graph: Graph
  readonly mode: CompileOptions['mode']
  readonly constants: Values
  readonly threads: number
  readonly how: How
}

/** Programs of a graph, one for each way to start it; those that were ended wait to be started again. */
const programs = ({ library: lib, graph, mode, constants, threads, how }: Compiled) => {
  const idle = new Map<string, Program>()
  let isOver = false
  const baked = new Set(Object.keys(constants))
  const keyOf = (carry: Carry, given: readonly string[]): string =>
    JSON.stringify([Object.entries(carry).sort(), [...given].sort()])
  return {
    /** A program that has what is given once. */
    started: (carry: Carry, given: Values): Effect<{ readonly program: Program; readonly end: () => void }> =>
      effect(async (run) => {
        const others = Object.keys(omit(given, Object.values(carry)))
        const key = keyOf(carry, others)
        const fixed = new Set([...baked, ...others])
        const known = idle.get(key)
        idle.delete(key)
        const program = known ?? (await run(programOf(lib, graph, { mode, carry, baked, fixed }, threads, how)))
        program.feed(constants)
        program.feed(given)
        const prepared = program.prepare()
        if ('left' in prepared) program.release()
        await run(TE.fromEither(prepared))
        const end = (): void => {
          if (isOver || idle.has(key)) program.release()
          else idle.set(key, program)
        }
        return { program, end }
      }),
    dispose: (): void => {
      isOver = true
      for (const program of idle.values()) program.release()
      idle.clear()
    },
  }
}

const computed = (program: Program, feeds: Values): Effect<Values> =>
  effect(async (run) => {
    program.feed(feeds)
    const done = program.run()
    // At once: another run of the same program may be next.
    const results = program.read(program.plan.outputs)
    await run(TE.fromEither(done))
    return results
  })

const executable = (compiled: Compiled): Executable => {
  const { started, dispose } = programs(compiled)
  const whole: { program?: Program } = {}
  /** Of all runs, of which several may be the first. */
  const withoutCarry = remembered(
    effect(async (run) => {
      whole.program = (await run(started({}, {}))).program
      return whole.program
    }),
  )
  return {
    run: (feeds) =>
      pipe(
        withoutCarry,
        TE.chain((program) => computed(program, feeds)),
      ),
    start: (carry, initial) =>
      effect(async (run): Promise<Stepper> => {
        const { program, end } = await run(started(carry, initial))
        return {
          step: (feeds) => computed(program, feeds),
          read: TE.fromIO(() => program.read(only(program.plan.leaves, Object.values(carry)))),
          dispose: end,
        }
      }),
    dispose: () => {
      whole.program?.release()
      dispose()
    },
  }
}

/** The same by other costs, or by fewer passes. */
export const onednnBy = (howOn: (processor: Pick<Library, 'isa'>) => How): Executor =>
  contracted({
    name: 'onednn',
    explain: (graph, { mode, threads = threadsHere(), baked = [], carry = {} }) =>
      effect(async (run) => {
        const lib = await run(library)
        const how = howOn(lib)
        const owner = ownership(lib)
        const known = new Set(baked)
        const target = { mode, carry, fixed: known, baked: known, pieces: piecesFor(threads) }
        const rows = explained(planned(graph, lib, owner, target, how), threads, how.costs)
        owner.release()
        return rows
      }),
    compile: readingFiles((graph, { mode, constants = {}, threads = threadsHere() }) =>
      effect(async (run) => {
        const lib = await run(library)
        return executable({ library: lib, graph, mode, constants, threads, how: howOn(lib) })
      }),
    ),
  })

/**
 * Runs graphs on oneDNN, a library that the user adds, called through the package koffi: convolutions and products are its
 * primitives, the rest loops of WebAssembly, over one memory. A run blocks the event loop until it is done.
 *
 * Errors: `compile` where the library or koffi is missing, or the graph's arrays are more than 4 GiB; `run` where feeds do not fit.
 */
export const onednn: Executor = onednnBy(bestOn)
