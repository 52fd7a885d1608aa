import type { Costs } from './costs.ts'
import { cut } from './draft.ts'
import { isLane } from './expression.ts'
import { iterations, type Loop } from './loop.ts'
import type { Instruction } from './plan.ts'

/** Vectors of a loop's innermost step: cuts stand between them. */
const block = 16

/** The outermost level's range in as many parts as there are threads, where that is worth it; each part writes apart from the others. */
export const rangesOf = (
  loop: Loop,
  threads: number,
  { worthCutting }: Pick<Costs, 'worthCutting'>,
): readonly (readonly [from: number, to: number])[] => {
  const { levels, vector, steps } = loop
  const [outer] = levels
  const length = outer?.length ?? 0
  const isLong = iterations(loop) * (steps.length + 1) >= worthCutting.operations
  if (outer === undefined || outer.reduced || !isLong || isOfFirst(loop)) return [[0, length]]
  if (vector > 0) return cut(length, threads)
  return cut(Math.ceil(length / block), threads).map(([from, to]) => [from * block, Math.min(length, to * block)])
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
 * What each thread does, in order. Instructions of several shares give one to each thread in turn, others go where no wait is needed, to
 * the thread that has done least; threads wait for each other where one would touch what another one wrote, or write what it touched.
 */
export const scheduled = <Work>(
  instructions: readonly Instruction[],
  sharesOf: (instruction: Instruction) => readonly Share<Work>[],
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
  for (const i of instructions) {
    const shares = sharesOf(i)
    const [only] = shares
    if (shares.length === 1 && only !== undefined) {
      const first = i.kind === 'host' || (i.kind === 'loop' && isOfFirst(i.loop))
      const free = (first ? [0] : everyThread).filter((t) => !meets(only, t))
      if (free.length === 0) meet()
      give(only, free.length === 0 ? 0 : free.reduce((a, b) => ((done[b] ?? 0) < (done[a] ?? 0) ? b : a)))
      continue
    }
    if (shares.some((s, k) => meets(s, k % threads))) meet()
    shares.forEach((s, k) => {
      give(s, k % threads)
    })
  }
  meet()
  return turns
}
const overlap = ([a, b]: Span, [c, d]: Span): boolean => a < d && c < b
