import type { Costs } from './costs.ts'
import { isLane } from './expression.ts'
import { iterations, type Loop } from './loop.ts'
import type { Instruction } from './plan.ts'
import { cut } from './ranges.ts'

/** Vectors of a loop's innermost step: cuts stand between them. */
const block = 16

/** The outermost level's range in as many parts as there are threads, where that is worth it; each part writes apart from the others. */
export const rangesOf = (
  loop: Loop,
  threads: number,
  { worthCutting }: Pick<Costs, 'worthCutting'>,
): readonly (readonly [from: number, to: number])[] => {
  const isLong = iterations(loop) * (loop.steps.length + 1) >= worthCutting.operations
  return isLong ? cutRanges(loop, threads) : [wholeRange(loop)]
}
export const wholeRange = ({ levels: [outer] }: Loop): readonly [from: number, to: number] => [0, outer?.length ?? 0]
/** The outermost level's range in as many parts as there are threads, however short; whole where it is reduced. */
export const cutRanges = (loop: Loop, threads: number): readonly (readonly [from: number, to: number])[] => {
  const { levels, vector } = loop
  const [outer] = levels
  if (outer === undefined || outer.reduced || isOfFirst(loop)) return [wholeRange(loop)]
  if (vector > 0) return cut(outer.length, threads)
  return cut(Math.ceil(outer.length / block), threads).map(([from, to]) => [
    from * block,
    Math.min(outer.length, to * block),
  ])
}
/** Whether a loop calls functions of JavaScript, which only the first thread has. */
const isOfFirst = ({ steps }: Loop): boolean => steps.some(({ op }) => isLane(op))

/** Bytes of memory, from one up to another. */
export type Span = readonly [from: number, to: number]
/** What one thread can do of an instruction without another. */
export interface Share<Work> {
  readonly reads: readonly Span[]
  readonly writes: readonly Span[]
  readonly work: Work
}
/** Undefined: wait until all threads came here. */
export type Turn<Work> = Work | undefined

interface Access {
  readonly span: Span
  readonly thread: number
  readonly isWrite: boolean
}

/**
 * What each thread does, in order. Of the ways to share an instruction out the first is taken that needs no wait, or else the first.
 * Several shares go to one thread each, in turn; one share goes to the thread that has done least. Threads wait for each other where one
 * would touch what another one wrote, or write what it touched.
 */
export const scheduled = <Work>(
  instructions: readonly Instruction[],
  waysOf: (instruction: Instruction) => readonly (readonly Share<Work>[])[],
  threads: number,
): readonly (readonly Turn<Work>[])[] => {
  const turns: Turn<Work>[][] = Array.from({ length: threads }, () => [])
  let since: Access[] = []
  let done: number[] = turns.map(() => 0)
  const meet = (): void => {
    if (threads === 1 || since.length === 0) return
    for (const t of turns) t.push(undefined)
    since = []
    done = turns.map(() => 0)
  }
  const meets = ({ reads, writes }: Share<Work>, thread: number): boolean =>
    since.some(
      (a) =>
        a.thread !== thread &&
        (writes.some((s) => overlap(s, a.span)) || (a.isWrite && reads.some((s) => overlap(s, a.span)))),
    )
  const give = (share: Share<Work>, thread: number): void => {
    turns[thread]?.push(share.work)
    for (const span of share.reads) since.push({ span, thread, isWrite: false })
    for (const span of share.writes) since.push({ span, thread, isWrite: true })
    const bytes = [...share.reads, ...share.writes].reduce((sum, [from, to]) => sum + to - from, 0)
    done[thread] = (done[thread] ?? 0) + bytes
  }
  const everyThread = turns.map((_, t) => t)
  /** Of each share the thread that can do it without a wait; undefined where there is none. */
  const placed = (shares: readonly Share<Work>[], most: readonly number[]): readonly number[] | undefined => {
    const [only, ...others] = shares
    if (only === undefined || others.length > 0)
      return shares.some((s, k) => meets(s, k % threads)) ? undefined : shares.map((_, k) => k % threads)
    const free = most.filter((t) => !meets(only, t))
    return free.length === 0 ? undefined : [free.reduce((a, b) => ((done[b] ?? 0) < (done[a] ?? 0) ? b : a))]
  }
  for (const i of instructions) {
    const most = i.kind === 'host' || (i.kind === 'loop' && isOfFirst(i.loop)) ? [0] : everyThread
    const ways = waysOf(i)
    const fit = ways.flatMap((shares) => {
      const threadsOf = placed(shares, most)
      return threadsOf === undefined ? [] : [{ shares, threadsOf }]
    })[0]
    if (fit === undefined) meet()
    const { shares, threadsOf } = fit ?? { shares: ways[0] ?? [], threadsOf: everyThread }
    shares.forEach((s, k) => {
      give(s, threadsOf[k % threads] ?? 0)
    })
  }
  meet()
  return turns
}
const overlap = ([a, b]: Span, [c, d]: Span): boolean => a < d && c < b
