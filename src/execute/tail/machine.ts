import { type Effect, type Errors, failure, reasonOf } from '../../error.ts'
import { optional } from '../../optional.ts'
import { pipe, TE } from '../../prelude.ts'
import type { Carry } from '../executor.ts'
import { moduleText } from './kernel.ts'
import { padded, pageBytes } from './memory.ts'
import type { Loop, Source } from './split.ts'

type Arrays = Readonly<Record<string, Float32Array>>

/** The loops of a tail over memory of their own. */
export interface Machine {
  /** Leaves that the loops read as arrays or replace. */
  readonly leaves: Arrays
  /** Outputs of the body that the loops read. */
  readonly handed: Arrays
  /** Outputs of the loops that are not carried. */
  readonly outputs: Arrays
  /** Replaces the carried leaves and fills the outputs, told the leaves that are single numbers. */
  readonly run: (scalar: (leaf: string) => number) => void
}

/** Compiled loops: starts machines, each with what is carried in it. */
export type Tail = (carry: Carry) => Machine

type Kind = Source['from'] | 'output' | 'moved'
interface Place {
  readonly kind: Kind
  readonly name: string
  readonly address: number
  readonly length: number
}

/** Gives out memory, one place an array. */
const allocator = () => {
  const known = new Map<string, Place>()
  let end = 0
  return {
    place: (kind: Kind, name: string, length: number): number => {
      const key = `${kind} ${name}`
      const found = known.get(key)
      if (found !== undefined) return found.address
      const address = end
      end += padded(length)
      known.set(key, { kind, name, address, length })
      return address
    },
    done: () => ({ bytes: end, places: [...known.values()] }),
  }
}

/** The loops that read each leaf, and so need its old value. */
const readersOf = (loops: readonly Loop[]): ReadonlyMap<string, readonly Loop[]> => {
  const readers = new Map<string, Loop[]>()
  for (const loop of loops)
    for (const { from, name } of [...loop.arrays, ...loop.scalars])
      if (from === 'leaf') readers.set(name, [...(readers.get(name) ?? []), loop])
  return readers
}

interface Layout {
  readonly bytes: number
  readonly places: readonly Place[]
  /** By loop, what its function is told: bytes, addresses of arrays and of outputs. */
  readonly calls: readonly (readonly number[])[]
  /** Leaves whose new value must wait until other loops have read the old one. */
  readonly moves: readonly { readonly output: string; readonly leaf: string }[]
}

const layoutOf = (loops: readonly Loop[], carry: Carry): Layout => {
  const { place, done } = allocator()
  const readers = readersOf(loops)
  const moves: { readonly output: string; readonly leaf: string }[] = []
  const target = (loop: Loop, output: string): number => {
    const leaf = carry[output]
    if (leaf === undefined) return place('output', output, loop.length)
    const address = place('leaf', leaf, loop.length)
    if ((readers.get(leaf) ?? []).every((reader) => reader === loop)) return address
    moves.push({ output, leaf })
    return place('moved', output, loop.length)
  }
  const calls = loops.map((loop) => {
    for (const { from, name } of loop.scalars) if (from !== 'leaf') place(from, name, 1)
    return [
      padded(loop.length),
      ...loop.arrays.map(({ from, name }) => place(from, name, loop.length)),
      ...loop.outputs.map(({ name }) => target(loop, name)),
      ...loop.gives.map(({ name }) => place('loop', name, loop.length)),
    ]
  })
  return { ...done(), calls, moves }
}

export const compileText = (text: string): Effect<WebAssembly.Module> =>
  pipe(
    optional('loops', async () => (await import('./assembler.ts')).assemble),
    TE.flatMap((assemble) =>
      TE.tryCatch(
        () => WebAssembly.compile(assemble(text)),
        (e): Errors => [failure('compile', 'tail', 'loops that WebAssembly takes', reasonOf(e))],
      ),
    ),
  )

const machineOf = (module: WebAssembly.Module, loops: readonly Loop[], names: readonly string[], carry: Carry) => {
  const { bytes, places, calls, moves } = layoutOf(loops, carry)
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / pageBytes) })
  const { exports } = new WebAssembly.Instance(module, { '': { memory } })
  const arrays = (kind: Kind): Arrays =>
    Object.fromEntries(
      places.flatMap((p) =>
        p.kind === kind ? [[p.name, new Float32Array(memory.buffer, p.address, p.length)] as const] : [],
      ),
    )
  const [leaves, handed, given, moved] = [arrays('leaf'), arrays('body'), arrays('loop'), arrays('moved')]
  const functions = names.map((name) => {
    const found = exports[name]
    if (typeof found !== 'function') throw new Error(`the tail's module has no ${name}`)
    return found
  })
  return {
    leaves,
    handed,
    outputs: arrays('output'),
    run: (scalar: (leaf: string) => number) => {
      const numberFrom: { readonly [F in Source['from']]: (name: string) => number } = {
        leaf: (name) => leaves[name]?.[0] ?? scalar(name),
        body: (name) => handed[name]?.[0] ?? Number.NaN,
        loop: (name) => given[name]?.[0] ?? Number.NaN,
      }
      loops.forEach(({ scalars }, i) => {
        const numbers = scalars.map(({ from, name }) => numberFrom[from](name))
        functions[i]?.(...(calls[i] ?? []), ...numbers)
      })
      for (const { output, leaf } of moves) leaves[leaf]?.set(moved[output] ?? [])
    },
  }
}

/** Compiles loops that take up no more than `addressable`. */
export const compileTail = (loops: readonly Loop[]): Effect<Tail> => {
  const { text, names } = moduleText(loops)
  return pipe(
    compileText(text),
    TE.map((module) => (carry) => machineOf(module, loops, names, carry)),
  )
}
