import { type Effect, effect } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import { TE } from '../../prelude.ts'
import { omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, CompileOptions, Executable, Executor, Stepper, Values } from '../executor.ts'
import { readingFiles } from '../files.ts'
import { threadsHere } from '../onnx/threads.ts'
import { byPhases } from '../staging.ts'
import { phased, piecesFor } from './costs.ts'
import { ownership } from './draft.ts'
import { explained } from './explain.ts'
import { type Library, library } from './load.ts'
import { planOf } from './lower.ts'
import { type Program, programOf } from './program.ts'

interface Compiled {
  readonly library: Library
  readonly graph: Graph
  readonly constants: Values
  readonly threads: number
}

/** A program that has what is given once. */
const started = ({ library: lib, graph, constants, threads }: Compiled, carry: Carry, given: Values): Effect<Program> =>
  effect(async (run) => {
    const fixed = new Set([...Object.keys(constants), ...Object.keys(omit(given, Object.values(carry)))])
    const program = await run(programOf(lib, graph, { carry, fixed }, threads))
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

/** What is decided of a graph before it is lowered. */
const rewritten = (graph: Graph, mode: CompileOptions['mode'], baked: readonly string[]): Graph =>
  mode === 'sampling' ? byPhases(new Set(baked), phased)(graph) : graph

/**
 * Runs graphs on oneDNN, a library that the user adds, called through the package koffi: convolutions and products are its
 * primitives, the rest loops of WebAssembly, over one memory. A run blocks the event loop until it is done.
 *
 * Errors: `compile` where the library or koffi is missing, or the graph's arrays are more than 4 GiB; `run` where feeds do not fit.
 */
export const onednn: Executor = contracted({
  name: 'onednn',
  explain: (declared, { mode, threads = threadsHere(), baked = [] }) =>
    effect(async (run) => {
      const lib = await run(library)
      const owner = ownership(lib)
      const graph = rewritten(declared, mode, baked)
      const plan = planOf(graph, lib, owner, { carry: {}, fixed: new Set(baked), pieces: piecesFor(threads) })
      const rows = explained(graph, plan, threads)
      owner.release()
      return rows
    }),
  compile: readingFiles((declared, { mode, constants = {}, threads = threadsHere() }) =>
    effect(async (run) => {
      const graph = rewritten(declared, mode, Object.keys(constants))
      return executable({ library: await run(library), graph, constants, threads })
    }),
  ),
})
