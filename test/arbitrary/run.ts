import type { Tensor } from '../../src/declare/index.ts'
import { type Errors, showErrors } from '../../src/error.ts'
import type { CompileOptions, Executor, Value, Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { feedTypes, type Graph } from '../../src/graph/graph.ts'
import { E, type Either } from '../../src/prelude.ts'
import { frozen } from './cases.ts'

export const right = <A>(x: Either<Errors, A>): A => {
  if (E.isLeft(x)) throw new Error(showErrors(x.left))
  return x.right
}
/** Runs a graph once; feeds that a transform made needless, or that are constants, are left out. */
export const runOn =
  (executor: Executor, { constants = {}, ...options }: CompileOptions = { mode: 'sampling' }) =>
  async (graph: Graph, feeds: Values): Promise<Values> => {
    const needed = feedTypes(graph)
    const pick = (values: Values, when: (name: string) => boolean): Values =>
      Object.fromEntries(Object.entries(values).filter(([name]) => name in needed && when(name)))
    const baked = pick(constants, () => true)
    const program = right(await executor.compile(graph, { ...options, constants: baked })())
    const own = pick(feeds, (name) => !(name in baked))
    const results = right(await program.run(own)())
    program.dispose()
    return results
  }
export const evaluate = async (outputs: Readonly<Record<string, Tensor>>, feeds: Values): Promise<Values> =>
  runOn(reference)(frozen(outputs), feeds)

/** The first place where two sets of values differ by more than `tolerance` of their largest magnitude, or of 1. */
export const difference = (actual: Values, expected: Values, tolerance: number): string | undefined => {
  for (const [name, e] of Object.entries(expected)) {
    const a: Value | undefined = actual[name]
    if (a === undefined) return `${name} is missing`
    if (a.dtype !== e.dtype || a.shape.join() !== e.shape.join() || a.data.length !== e.data.length)
      return `${name} is ${a.dtype}[${a.shape}] of ${a.data.length}, not ${e.dtype}[${e.shape}]`
    const scale = Array.from<number>(e.data).reduce((m, v) => Math.max(m, Number.isFinite(v) ? Math.abs(v) : 0), 1)
    const at = Array.from<number>(e.data).findIndex((v, i) => {
      const found = a.data[i] ?? Number.NaN
      return !(Object.is(found, v) || found === v || Math.abs(found - v) <= tolerance * scale)
    })
    if (at >= 0) return `${name}[${at}] is ${a.data[at]}, not ${e.data[at]} (scale ${scale})`
  }
  return undefined
}
