import type { Instruction, Plan } from './plan.ts'

/** Bytes of a cache line: primitives like arrays to begin on one. */
const line = 64
const rounded = (bytes: number): number => Math.ceil(bytes / line) * line

interface Life {
  readonly buffer: number
  readonly bytes: number
  /** The first and the last instruction that it is there for. */
  readonly from: number
  readonly to: number
}

/** When each buffer is needed: what outlives a step is there always, what is fed from the beginning of one. */
const livesOf = ({ buffers, once, each, leaves, fixed, carried, constants, outputs }: Plan): readonly Life[] => {
  const all: readonly Instruction[] = [...once, ...each]
  const [first, last] = [new Map<number, number>(), new Map<number, number>()]
  const touch = (buffer: number, at: number): void => {
    first.set(buffer, Math.min(first.get(buffer) ?? at, at))
    last.set(buffer, Math.max(last.get(buffer) ?? at, at))
  }
  const ever = (buffer: number): void => {
    touch(buffer, -1)
    touch(buffer, all.length)
  }
  all.forEach((i, at) => {
    for (const b of [...i.reads, ...i.writes]) touch(b, at)
  })
  for (const [name, { view }] of Object.entries(leaves)) {
    if (carried.has(name)) ever(view.buffer)
    else touch(view.buffer, fixed.has(name) ? -1 : once.length - 1)
  }
  for (const { view } of constants) touch(view.buffer, -1)
  for (const { view } of Object.values(outputs)) touch(view.buffer, all.length)
  const fed = new Set(
    Object.entries(leaves).flatMap(([name, { view }]) => (fixed.has(name) || carried.has(name) ? [] : [view.buffer])),
  )
  // What is made once and read at each step, or given once.
  for (const [buffer, from] of first)
    if (from < once.length && (last.get(buffer) ?? 0) >= once.length && !fed.has(buffer)) ever(buffer)
  return [...first].map(([buffer, from]) => ({
    buffer,
    bytes: rounded(buffers[buffer] ?? 0),
    from,
    to: last.get(buffer) ?? from,
  }))
}
/** Buffers up to this size share no memory: a look for room among thousands of them would gain kilobytes. */
const small = 2048

export interface Layout {
  /** Of each buffer, in bytes. */
  readonly addresses: readonly number[]
  readonly bytes: number
}

/** Arrays that were given places, by address, in rows of numbers: all of them are looked at for each new one. */
const places = (most: number) => {
  const [from, to] = [new Int32Array(most), new Int32Array(most)]
  const [start, end] = [new Float64Array(most), new Float64Array(most)]
  let count = 0
  return {
    /** The lowest address from `least` on that is free while it lives. */
    room: (life: Life, least: number): number => {
      let address = least
      for (let i = 0; i < count; i++) {
        if ((start[i] ?? 0) >= address + life.bytes) break
        if ((to[i] ?? 0) < life.from || life.to < (from[i] ?? 0)) continue
        address = Math.max(address, end[i] ?? 0)
      }
      return address
    },
    put: (life: Life, address: number): void => {
      let at = count
      while (at > 0 && (start[at - 1] ?? 0) > address) at--
      for (const row of [from, to, start, end]) row.copyWithin(at + 1, at, count)
      from[at] = life.from
      to[at] = life.to
      start[at] = address
      end[at] = address + life.bytes
      count++
    },
  }
}

/** Places for all buffers, the largest first, each at the lowest address that is free while it lives. */
export const layoutOf = (plan: Plan): Layout => {
  const addresses: number[] = plan.buffers.map(() => 0)
  let bytes = 0
  const lives = [...livesOf(plan)].sort((a, b) => b.bytes - a.bytes || a.from - b.from)
  const apart = lives.filter(({ bytes: own }) => own <= small)
  for (const { buffer, bytes: own } of apart) {
    addresses[buffer] = bytes
    bytes += own
  }
  const first = bytes
  const { room, put } = places(lives.length)
  for (const life of lives.slice(0, lives.length - apart.length)) {
    const address = room(life, first)
    put(life, address)
    addresses[life.buffer] = address
    bytes = Math.max(bytes, address + life.bytes)
  }
  return { addresses, bytes }
}
