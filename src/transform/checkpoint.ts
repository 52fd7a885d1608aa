import { peakBytes } from '../graph/cost.ts'
import type { Graph } from '../graph/graph.ts'
import { E, type Either, pipe } from '../prelude.ts'
import { type Anatomy, anatomy, arranged, graphOf, missing, type Reckoned, reckoned } from './recompute.ts'

interface Choice extends Reckoned {
  readonly kept: ReadonlySet<number>
}
const choice = (a: Anatomy, kept: ReadonlySet<number>): Choice => ({ kept, ...reckoned(a, arranged(a, kept)) })
const less = (xs: ReadonlySet<number>, ys: readonly number[]): ReadonlySet<number> => {
  const gone = new Set(ys)
  return new Set([...xs].filter((x) => !gone.has(x)))
}

/** What it takes to make an array anew from what is kept. */
const flopsToMake = (a: Anatomy, kept: ReadonlySet<number>, wanted: number): number =>
  missing(a, wanted, (i) => i !== wanted && kept.has(i)).reduce(
    (s, i) => (i !== wanted && kept.has(i) ? s : s + (a.flops[i] ?? 0)),
    0,
  )

/** Choices that are compared in a round. */
const compared = 6

/**
 * One array less that is kept: of those that lie idle at the peak, the one that lowers it most for what it costs; of a few at a time,
 * those that free the most bytes a flop first. Where none does so alone, several together; undefined where these do not either.
 */
const lowered = (a: Anatomy, now: Choice): Choice | undefined => {
  const ranked = now.idle
    .filter((i) => now.kept.has(i))
    .map((i) => ({ i, rate: (a.held[i] ?? 0) / (1 + flopsToMake(a, now.kept, i)) }))
    .sort((x, y) => y.rate - x.rate)
    .map(({ i }) => i)
  const rate = (c: Choice): number => (now.peak - c.peak) / (1 + Math.max(0, c.flops - now.flops))
  const best = (sets: readonly (readonly number[])[]): Choice | undefined =>
    sets
      .map((set) => choice(a, less(now.kept, set)))
      .filter((c) => c.peak < now.peak)
      .reduce<Choice | undefined>((x, y) => (x === undefined || rate(y) > rate(x) ? y : x), undefined)
  for (let from = 0; from < ranked.length; from += compared) {
    const found = best(ranked.slice(from, from + compared).map((i) => [i]))
    if (found !== undefined) return found
  }
  const sizes = [2, 4, 8, 16, 32, 64].filter((size) => size < ranked.length)
  return best([...sizes, ranked.length].map((size) => ranked.slice(0, size)))
}

/** A choice within the budget; otherwise the least that was found. */
const within = (a: Anatomy, budget: number): Either<number, Choice> => {
  let now = choice(a, new Set(a.read))
  while (now.peak > budget) {
    const next = lowered(a, now)
    if (next === undefined) return E.left(now.peak)
    now = next
  }
  return E.right(now)
}

/** As much more kept as the budget allows, what is dearest to make first. */
const filled = (a: Anatomy, chosen: Choice, budget: number): Choice =>
  a.read
    .filter((i) => !chosen.kept.has(i))
    .map((i) => ({ i, flops: flopsToMake(a, chosen.kept, i) }))
    .sort((x, y) => y.flops - x.flops)
    .reduce((now, { i }) => {
      const more = choice(a, new Set([...now.kept, i]))
      return more.peak <= budget && more.flops <= now.flops ? more : now
    }, chosen)

/**
 * Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): a step's graph that needs at most `budget` bytes at a time, by its shapes
 * and the order of its nodes. Of the arrays of the forward part, what the losses need, some are kept, the others are computed a second
 * time in the backward part, by the same ops from the same numbers: nothing changes but time and memory. What is given up is chosen one by
 * one: what lowers the peak most for the operations it costs. Pure: one graph and budget, one choice.
 *
 * Left: a budget that is not met, by the least number of bytes that was found.
 */
export const checkpoint =
  (losses: readonly string[], budget: number) =>
  (g: Graph): Either<number, Graph> => {
    const plain = peakBytes(g)
    if (plain <= budget) return E.right(g)
    const a = anatomy(g, losses)
    const ordered = peakBytes(a.graph)
    if (ordered <= budget) return E.right(a.graph)
    const leaves = ordered - choice(a, new Set(a.read)).peak
    return pipe(
      within(a, budget - leaves),
      E.bimap(
        (least) => Math.min(plain, least + leaves),
        (chosen) => graphOf(a, arranged(a, filled(a, chosen, budget - leaves).kept)),
      ),
    )
  }
