import { RR } from '../../prelude.ts'
import type { Instruction, Placed, Plan } from './plan.ts'
import { liesAs } from './view.ts'

const under = (i: Instruction, to: (buffer: number) => number): Instruction => {
  const common = { reads: i.reads.map(to), writes: i.writes.map(to) }
  const move = <A extends { readonly buffer: number }>(a: A): A => ({ ...a, buffer: to(a.buffer) })
  if (i.kind === 'loop')
    return { ...i, ...common, loop: { ...i.loop, arrays: i.loop.arrays.map(move), results: i.loop.results.map(move) } }
  if (i.kind === 'primitive') {
    const pieces = i.pieces.map((p) => ({ ...p, arguments: p.arguments.map(([a, x]) => [a, move(x)] as const) }))
    return { ...i, ...common, pieces }
  }
  return {
    ...i,
    ...common,
    inputs: i.inputs.map((x) => ({ ...x, view: move(x.view) })),
    output: { ...i.output, view: move(i.output.view) },
  }
}

/** Whether a loop reads each element of a buffer where it then writes the result, and no other. */
const meets = (i: Instruction, read: number, written: number): boolean => {
  if (i.kind !== 'loop' || i.loop.reduction !== undefined) return false
  const results = i.loop.results.filter(({ buffer }) => buffer === written)
  return i.loop.arrays
    .filter(({ buffer }) => buffer === read)
    .every(({ offset, steps }) => results.every((r) => r.offset === offset && r.steps.join() === steps.join()))
}

/**
 * Results are written where the leaves lie that they replace, rather than copied: where one instruction makes the result whole and
 * all that read the old value come before it, or read in the same loop just that element.
 */
export const writtenInPlace = (plan: Plan): Plan => {
  const { each: instructions, handovers } = plan
  const writers = new Map<number, number[]>()
  const lastRead = new Map<number, number>()
  instructions.forEach(({ reads, writes }, at) => {
    for (const b of new Set(writes)) writers.set(b, [...(writers.get(b) ?? []), at])
    for (const b of reads) lastRead.set(b, at)
  })
  const moved = new Map<number, number>()
  const dropped = new Set<number>()
  for (const { at, from, into } of handovers) {
    const [made, ...others] = writers.get(from.buffer) ?? []
    const maker = made === undefined ? undefined : instructions[made]
    if (made === undefined || maker === undefined || others.length > 0 || moved.has(from.buffer)) continue
    const isWhole =
      from.element === into.element && from.offset === 0 && liesAs(from) && liesAs(into) && maker.kind !== 'host'
    const isLast = (lastRead.get(into.buffer) ?? -1) < made
    const isOwn = lastRead.get(into.buffer) === made && meets(maker, into.buffer, from.buffer)
    if (!isWhole || !(isLast || isOwn)) continue
    moved.set(from.buffer, into.buffer)
    dropped.add(at)
  }
  const to = (buffer: number): number => moved.get(buffer) ?? buffer
  return {
    ...plan,
    each: instructions.flatMap((i, at) => (dropped.has(at) ? [] : [under(i, to)])),
    outputs: RR.map((o: Placed) => ({ ...o, view: { ...o.view, buffer: to(o.view.buffer) } }))(plan.outputs),
    handovers: [],
  }
}
