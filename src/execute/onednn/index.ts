import { type Effect, effect } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import { TE } from '../../prelude.ts'
import { omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, CompileOptions, Executable, Executor, Stepper, Values } from '../executor.ts'
import { readingFiles } from '../files.ts'
import { threadsHere } from '../onnx/threads.ts'
import { asMeasured, type How, planned } from './compile.ts'
import { piecesFor } from './costs.ts'
import { ownership } from './draft.ts'
import { explained } from './explain.ts'
import { type Library, library } from './load.ts'
import { type Program, programOf } from './program.ts'

interface Compiled {
  readonly library: Library
  readonly graph: Graph
  readonly mode: CompileOptions['mode']
  readonly constants: Values
  readonly threads: number
  readonly how: How
}

/** A program that has what is given once. */
const started = (
  { library: lib, graph, mode, constants, threads, how }: Compiled,
  carry: Carry,
  given: Values,
): Effect<Program> =>
  effect(async (run) => {
    const baked = new Set(Object.keys(constants))
    const fixed = new Set([...baked, ...Object.keys(omit(given, Object.values(carry)))])
    const program = await run(programOf(lib, graph, { mode, carry, baked, fixed }, threads, how))
    program.feed(constants)
    program.feed(given)
    const prepared = program.prepare()
    if ('left' in prepared) program.release()
    await run(TE.fromEither(prepared))
    return program
  })

const computed = (program: Program, feeds: Values): Effect<Values> =>
  effect(async (run) => {
    program.feed(feeds)
    await run(TE.fromEither(program.run()))
    return program.read(program.plan.outputs)
  })

const stepper = (program: Program, carry: Carry): Stepper => ({
  step: (feeds) => computed(program, feeds),
  read: TE.fromIO(() => program.read(only(program.plan.leaves, Object.values(carry)))),
  dispose: program.release,
})

const executable = (compiled: Compiled): Executable => {
  let own: Program | undefined
  return {
    run: (feeds) =>
      effect(async (run) => {
        own = own ?? (await run(started(compiled, {}, {})))
        return run(computed(own, feeds))
      }),
    start: (carry, initial) => effect(async (run) => stepper(await run(started(compiled, carry, initial)), carry)),
    dispose: () => own?.release(),
  }
}

/** The same by other costs, or by fewer passes. */
export const onednnBy = (how: How): Executor =>
  contracted({
    name: 'onednn',
    explain: (graph, { mode, threads = threadsHere(), baked = [], carry = {} }) =>
      effect(async (run) => {
        const lib = await run(library)
        const owner = ownership(lib)
        const known = new Set(baked)
        const target = { mode, carry, fixed: known, baked: known, pieces: piecesFor(threads) }
        const rows = explained(planned(graph, lib, owner, target, how), threads, how.costs)
        owner.release()
        return rows
      }),
    compile: readingFiles((graph, { mode, constants = {}, threads = threadsHere() }) =>
      effect(async (run) => executable({ library: await run(library), graph, mode, constants, threads, how })),
    ),
  })

/**
 * Runs graphs on oneDNN, a library that the user adds, called through the package koffi: convolutions and products are its
 * primitives, the rest loops of WebAssembly, over one memory. A run blocks the event loop until it is done.
 *
 * Errors: `compile` where the library or koffi is missing, or the graph's arrays are more than 4 GiB; `run` where feeds do not fit.
 */
export const onednn: Executor = onednnBy(asMeasured)
