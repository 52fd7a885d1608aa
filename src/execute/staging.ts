import type { Graph } from '../graph/graph.ts'
import { convolveByPhases, mergeGradients } from '../transform/index.ts'
import { independentParts } from './parts.ts'
import { loopsIn, type Stage, type Staged } from './stages.ts'
import { addressable, tailBytes } from './tail/memory.ts'
import { type Split, splitTail } from './tail/split.ts'

const isWorthwhile = ({ body, loops }: Split): boolean =>
  Object.keys(body.outputs).length > 0 && loops.some(({ length }) => length > 1) && tailBytes(loops) <= addressable

/** Splits graphs; one that was split just before is not split again. */
export type Splitting = (graph: Graph) => Split
export const splitting = (baked: ReadonlySet<string>): Splitting => {
  let last: { readonly graph: Graph; readonly split: Split } | undefined
  return (graph) => {
    if (last?.graph !== graph) last = { graph, split: splitTail(graph, baked) }
    return last.split
  }
}

/** The arithmetic at the end of a graph in loops of our own, which read and write each array once: there, a runtime is bound by memory. */
export const cutLoops =
  (splitOf: Splitting) =>
  (staged: Staged): Staged => {
    const cut = (graph: Graph): readonly Stage[] => {
      const split = splitOf(graph)
      return isWorthwhile(split)
        ? [
            { kind: 'graphs', parts: [split.body] },
            { kind: 'loops', loops: split.loops },
          ]
        : [{ kind: 'graphs', parts: [graph] }]
    }
    return {
      ...staged,
      stages: staged.stages.flatMap((s) => (s.kind === 'graphs' && s.parts.length === 1 ? s.parts.flatMap(cut) : s)),
    }
  }

/** In a step with loops, which is run again and again, parts that have nothing to do with each other get threads of their own. */
export const setBeside =
  (threads: number) =>
  (staged: Staged): Staged =>
    loopsIn(staged).length === 0
      ? staged
      : {
          ...staged,
          stages: staged.stages.map((s) =>
            s.kind === 'graphs' ? { ...s, parts: s.parts.flatMap((part) => independentParts(part, threads)) } : s,
          ),
        }

/**
 * Gradients of a weight over two batches become one, unless they are of parts that threads could share. How many threads there are is not
 * asked, so that it does not change the numbers.
 */
export const mergeUnlessParts =
  (splitOf: Splitting) =>
  (graph: Graph): Graph =>
    independentParts(splitOf(graph).body, 2).length > 1 ? graph : mergeGradients(graph)

/** Where a convolution of an enlarged map is faster by phases, and worth their memory: docs/decisions/0018. */
export interface Phased {
  /** Channels of x from which on it is. */
  readonly channels: number
  /** Products over those as declared, up to which. */
  readonly products: number
  /** Numbers of a weight, up to which. */
  readonly weights: number
}
/** Convolutions of enlarged maps by phases, where it is worth it. */
export const byPhases = (baked: ReadonlySet<string>, limits: Phased): ((graph: Graph) => Graph) =>
  convolveByPhases(
    (leaf) => baked.has(leaf),
    ({ channels, products, weights }) =>
      channels >= limits.channels && products <= limits.products && weights <= limits.weights,
  )
