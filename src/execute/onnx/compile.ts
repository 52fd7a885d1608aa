import type { Graph } from '../../graph/graph.ts'
import type { FileArrays, Values } from '../executor.ts'
import { type Pass, through } from '../passes.ts'
import { inOneStage, type Staged } from '../stages.ts'
import { byPhases, cutLoops, mergeUnlessParts, type Splitting, setBeside, splitting } from '../staging.ts'
import { weightsAsMade } from '../tail/as-made.ts'
import { type Calls, callsOf } from './calls.ts'
import { choose } from './choose.ts'
import { type Costs, measured } from './costs.ts'
import { expand } from './expand.ts'
import { aliases, attentions, biases, broadcasts, rectifiers } from './fuse.ts'
import { layouts } from './layouts.ts'
import type { Model } from './proto.ts'
import { recomputed } from './recompute.ts'
import type { Target } from './target.ts'

/**
 * What happens to a graph, in order: rewrites of it, its cutting into stages, and of each graph in these the lowering to calls of which
 * everything is decided; `expand` writes those down in ONNX.
 */

/** Graphs to graphs, on the CPU. */
export const rewrites = (
  mode: Target['mode'],
  baked: ReadonlySet<string>,
  { phased }: Pick<Costs, 'phased'> = measured,
  splitOf: Splitting = splitting(baked),
): readonly Pass<Graph>[] =>
  mode === 'training'
    ? [['merge gradients of a weight', mergeUnlessParts(splitOf)]]
    : [['convolve enlarged maps by phases', byPhases(baked, phased)]]
/** Stages of a training step on the CPU. */
export const stagings = (splitOf: Splitting, threads: number): readonly Pass<Staged>[] => [
  ['cut loops off the end', cutLoops(splitOf)],
  ['keep weights as their gradients are made', weightsAsMade],
  ['set parts beside each other', setBeside(threads)],
]
/** From a graph's nodes to calls of which everything is decided. */
export const lowerings = (target: Target): readonly Pass<Calls>[] => [
  ['see through aliases', aliases],
  ['read what is broadcast', broadcasts],
  ['fuse attention', attentions],
  ['fuse biases', biases],
  ['fuse ReLU', rectifiers],
  ['recompute what is cheap', recomputed],
  ['choose algorithms', choose(target)],
  ['lay arrays out', layouts],
]

/** What a graph is lowered for; the costs that were measured where none are given. */
export type LoweredFor = Omit<Target, 'costs'> & Partial<Pick<Target, 'costs'>>
const whole = ({ costs = measured, ...rest }: LoweredFor): Target => ({ ...rest, costs })

/** A graph in stages: training steps on the CPU, everything else in one. */
export const staged = (
  g: Graph,
  { device, mode, threads, costs }: Pick<LoweredFor, 'device' | 'mode' | 'costs'> & { readonly threads: number },
  baked: readonly string[],
): Staged => {
  const known = new Set(baked)
  if (device !== 'cpu') return inOneStage(g)
  const splitOf = splitting(known)
  const rewritten = inOneStage(through(rewrites(mode, known, costs, splitOf))(g))
  return mode === 'training' ? through(stagings(splitOf, threads))(rewritten) : rewritten
}
/** What is computed for a graph whose types are true, call by call; leaves named in `baked` are known beforehand. Pure. */
export const planned = (g: Graph, target: LoweredFor, baked: readonly string[] = []): Calls => {
  const known = new Set(baked)
  return through(lowerings(whole(target)))(callsOf(g, (name) => known.has(name)))
}

/** The ONNX model of a graph whose types are true; leaves named in `constants` and `files` become initialisers. Pure. */
export const lower = (g: Graph, target: LoweredFor, constants: Values = {}, files: FileArrays = {}): Model =>
  expand(planned(g, target, [...Object.keys(constants), ...Object.keys(files)]), g, whole(target), { constants, files })
