import { size } from '../../graph/types.ts'
import { isLane } from './expression.ts'
import { type Loop, type Operand, touching, type Walk } from './loop.ts'
import type { Instruction, LoopInstruction, Plan } from './plan.ts'

/** Loops over the same elements as one of several results: what both read is read once, what one makes for the other is at hand. */

/** Beyond, a loop has not the registers. */
const most = { arrays: 12, steps: 40, results: 4 } as const

const lengths = ({ levels }: Loop): readonly number[] => levels.map(({ length }) => length)
const sameWalk = (a: Walk, b: Walk): boolean =>
  a.buffer === b.buffer && a.offset === b.offset && a.steps.join() === b.steps.join()

/** A loop over numbers in a row as one over the levels of another; undefined where it is over other elements. */
const over = (loop: Loop, { levels, vector }: Loop): Loop | undefined => {
  const alike = loop.levels.length === levels.length && lengths(loop).every((d, i) => d === levels[i]?.length)
  if (alike && loop.vector === vector) return loop
  const [only, ...inner] = lengths(loop)
  const all = levels.map(({ length }) => length)
  if (inner.length > 0 || only !== size(all)) return undefined
  const walk = <W extends Walk>(w: W): W => ({
    ...w,
    steps: all.map((_, i) => (w.steps[0] ?? 0) * size(all.slice(i + 1))),
  })
  return { ...loop, levels, vector, arrays: loop.arrays.map(walk), results: loop.results.map(walk) }
}

/** Both, the second reading what the first makes; undefined where they are not to be joined. */
const joined = (first: Loop, later: Loop): Loop | undefined => {
  if (
    first.steps.length + later.steps.length > most.steps ||
    first.results.length + later.results.length > most.results
  )
    return undefined
  const second = over(later, first)
  const all = [first, later]
  if (second === undefined || all.some((l) => l.reduction !== undefined || l.steps.some(({ op }) => isLane(op))))
    return undefined
  const makes = (w: Walk) => first.results.filter(({ buffer }) => buffer === w.buffer)
  const readsElsewhere = second.arrays.some((w) => makes(w).some((r) => !sameWalk(w, r)))
  const isReplaced = (r: Walk): boolean => first.arrays.some((w) => w.buffer === r.buffer && !sameWalk(w, r))
  if (readsElsewhere || second.results.some((r) => makes(r).length > 0 || isReplaced(r))) return undefined
  const arrays = [...first.arrays]
  const places = second.arrays.map((w): Operand => {
    const made = makes(w)[0]
    if (made !== undefined) return made.operand
    const known = arrays.findIndex((a) => sameWalk(a, w))
    return { kind: 'array', index: known < 0 ? arrays.push(w) - 1 : known }
  })
  const moved = (o: Operand): Operand =>
    o.kind === 'number' ? o : o.kind === 'step' ? { ...o, index: o.index + first.steps.length } : (places[o.index] ?? o)
  const steps = [...first.steps, ...second.steps.map((s) => ({ ...s, operands: s.operands.map(moved) }))]
  const results = [...first.results, ...second.results.map((r) => ({ ...r, operand: moved(r.operand) }))]
  return arrays.length > most.arrays ? undefined : { ...first, arrays, steps, results }
}

/** Without what loops of several results make for nobody else. */
const withoutUnread = (plan: Plan): Plan => {
  const all = [...plan.once, ...plan.each]
  const placed = [...Object.values(plan.leaves), ...Object.values(plan.outputs)].map(({ view }) => view.buffer)
  const read = new Set([...placed, ...all.flatMap(({ reads }) => reads)])
  const slimmed = (i: Instruction): Instruction => {
    if (i.kind !== 'loop') return i
    const results = i.loop.results.filter(({ buffer }) => read.has(buffer))
    return results.length === 0 || results.length === i.loop.results.length
      ? i
      : { ...i, ...touching({ ...i.loop, results }) }
  }
  return { ...plan, each: plan.each.map(slimmed) }
}

/** Buffers of which a loop goes through an array: not a number or one for each channel. */
const wholes = ({ levels }: Loop, walks: readonly Walk[]): ReadonlySet<number> =>
  new Set(
    walks.flatMap(({ buffer, steps }) =>
      levels.every(({ length }, i) => length === 1 || steps[i] !== 0) ? [buffer] : [],
    ),
  )

export const joinLoops = (plan: Plan): Plan => {
  const each: Instruction[] = []
  /** Of each buffer which instructions read it and which write it, by their places, of which the last stands last. */
  const [readers, writers] = [new Map<number, number[]>(), new Map<number, number[]>()]
  const note = (of: Map<number, number[]>, buffers: readonly number[], at: number): void => {
    for (const b of buffers) {
      const all = of.get(b) ?? []
      if (at < (all.at(-1) ?? -1)) all.splice(-1, 0, at)
      else all.push(at)
      of.set(b, all)
    }
  }
  const last = (of: Map<number, number[]>, buffers: readonly number[]): number =>
    buffers.reduce((latest, b) => Math.max(latest, of.get(b)?.at(-1) ?? -1), -1)
  /** An earlier loop that another can be done in, which saves reading an array: nothing behind it touches what is read or written. */
  const hostFor = (
    i: LoopInstruction,
  ): { readonly at: number; readonly loop: Loop; readonly host: LoopInstruction } | undefined => {
    const read = wholes(i.loop, i.loop.arrays)
    const touched = Math.max(last(writers, i.reads), last(writers, i.writes), last(readers, i.writes))
    const near = new Set(
      [...read].flatMap((b) => [...(readers.get(b) ?? []), ...(writers.get(b) ?? [])].filter((at) => at >= touched)),
    )
    for (const at of [...near].sort((a, b) => b - a)) {
      const host = each[at]
      if (host?.kind !== 'loop') continue
      const { arrays, results } = host.loop
      if (
        wholes(
          host.loop,
          [...arrays, ...results].filter((w) => read.has(w.buffer)),
        ).size === 0
      )
        continue
      const loop = joined(host.loop, i.loop)
      if (loop !== undefined) return { at, loop, host }
    }
    return undefined
  }
  for (const i of plan.each) {
    const found = i.kind === 'loop' ? hostFor(i) : undefined
    const at = found?.at ?? each.length
    if (found === undefined) each.push(i)
    else {
      const { host, loop } = found
      each[at] = { ...host, ...touching(loop) }
    }
    note(readers, i.reads, at)
    note(writers, i.writes, at)
  }
  return withoutUnread({ ...plan, each })
}
