import type { Graph } from '../../graph/graph.ts'
import type { CompileOptions } from '../executor.ts'
import { type Pass, through } from '../passes.ts'
import { byPhases } from '../staging.ts'
import { type Costs, costsFor } from './costs.ts'
import { type Decided, decisions, undecided } from './decide.ts'
import { halfPrecisions } from './half.ts'
import { writtenInPlace } from './in-place.ts'
import { joinLoops } from './join-loops.ts'
import type { Library } from './load.ts'
import { drafted, type Setting } from './lower.ts'
import type { Ownership } from './ownership.ts'
import type { Plan } from './plan.ts'
import { runOnce } from './run-once.ts'

/**
 * What happens to a graph, in order: rewrites of it, decisions on its nodes, the draft of its instructions, for which the library is asked
 * what it has, and what is made of these.
 */
export interface Target extends Setting {
  readonly mode: CompileOptions['mode']
  /** Leaves whose numbers are known beforehand. */
  readonly baked: ReadonlySet<string>
}

export const rewrites = (
  { mode, baked }: Pick<Target, 'mode' | 'baked'>,
  { phased }: Pick<Costs, 'phased'>,
): readonly Pass<Graph>[] =>
  mode === 'sampling' ? [['convolve enlarged maps by phases', byPhases(baked, phased)]] : []
export const finishings: readonly Pass<Plan>[] = [
  ['write new state over the old', writtenInPlace],
  ['run once what is fixed', runOnce],
  ['join loops over the same elements', joinLoops],
]

/** What plans are made by; laws make them by less. */
export interface How {
  readonly costs: Costs
  readonly decisions: readonly Pass<Decided>[]
  readonly finishings: readonly Pass<Plan>[]
}
export const by = (costs: Costs): How => ({ costs, decisions: decisions(costs), finishings })
/** What is best on a processor, of those that were measured or reckoned. */
export const bestOn = (processor: Pick<Library, 'isa'>): How => by(costsFor(processor))

export const planned = (graph: Graph, library: Library, ownership: Ownership, target: Target, how: How): Plan => {
  const rewritten = through(rewrites(target, how.costs))(graph)
  const decided = through(how.decisions)(undecided(rewritten, halfPrecisions(library, how.costs)))
  return through(how.finishings)(drafted(decided, library, ownership, target, how.costs))
}
