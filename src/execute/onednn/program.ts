import { type Checked, type Effect, effect, fail, failure } from '../../error.ts'
import { type Graph, nodeAt } from '../../graph/graph.ts'
import { bfloatBitsOf, bfloatToFloatBits, halfBits, halfToFloatBits, mapBits, roundings } from '../../graph/half.ts'
import { type Half, isFloat, isHalf, size } from '../../graph/types.ts'
import { E, TE } from '../../prelude.ts'
import { placeOf } from '../check-graph.ts'
import type { Value, Values } from '../executor.ts'
import { compileText } from '../tail/machine.ts'
import type { Handle } from './api.ts'
import { type How, planned, type Target } from './compile.ts'
import { piecesFor } from './costs.ts'
import { kindOf, lanes } from './expression.ts'
import type { Library } from './load.ts'
import { type Loop, pointersOf, type Walk } from './loop.ts'
import { moduleText } from './loop-text.ts'
import { layoutOf } from './memory.ts'
import { ownership } from './ownership.ts'
import type {
  Array as Given,
  HostInstruction,
  Instruction,
  LoopInstruction,
  Numbers,
  Piece,
  Placed,
  Plan,
} from './plan.ts'
import { cutRanges, rangesOf, type Share, type Span, scheduled, wholeRange } from './schedule.ts'
import { teamOf } from './team.ts'
import { type Command, slots, turnOf } from './turn.js'
import { elementBytes } from './view.ts'

const pageBytes = 65_536
/** What a 32-bit memory ends at. */
const addressable = 2 ** 32 - pageBytes

/** A plan over memory of its own. */
export interface Program {
  readonly plan: Plan
  /** Writes leaves; others are left as they are. */
  readonly feed: (values: Values) => void
  /** Runs what is computed once. */
  readonly prepare: () => Checked<void>
  readonly run: () => Checked<void>
  readonly read: (of: Readonly<Record<string, Placed>>) => Values
  readonly release: () => void
}

const done: Checked<void> = E.right(undefined)

/** The 16 bits of a number, and the bits in single precision of the number that they stand for. */
const bitsOf: {
  readonly [H in Half]: { readonly of: (x: number) => number; readonly widened: (bits: number) => number }
} = {
  float16: { of: halfBits, widened: halfToFloatBits },
  bfloat16: { of: bfloatBitsOf, widened: bfloatToFloatBits },
}
/** An array of the plan: its numbers where they lie, or widened; and others in their place. */
interface Place {
  readonly read: () => Numbers
  readonly write: (data: ArrayLike<number>) => void
}
/** Functions that put arrays of the plan into memory and out of it. */
const arraysOver = (memory: WebAssembly.Memory, addresses: readonly number[]) => {
  const placeIn = ({ view, dtype, shape }: Placed): Place => {
    const [address, length] = [(addresses[view.buffer] ?? 0) + view.offset * elementBytes[view.element], size(shape)]
    if (view.element !== 'word') {
      const { of, widened } = bitsOf[view.element]
      const bits = new Uint16Array(memory.buffer, address, length)
      return {
        read: () => new Float32Array(mapBits(bits, widened, new Uint32Array(length)).buffer),
        write: (data) => {
          for (let i = 0; i < length; i++) bits[i] = of(data[i] ?? 0)
        },
      }
    }
    const numbers = new (kindOf(dtype) === 'float' ? Float32Array : Int32Array)(memory.buffer, address, length)
    return {
      read: () => numbers,
      write: (data) => {
        if (data !== numbers) numbers.set(isHalf(dtype) ? Array.from(data, roundings[dtype]) : data)
      },
    }
  }
  const out = (placed: Placed): Value => {
    const { dtype, shape } = placed
    const numbers = placeIn(placed).read()
    return isFloat(dtype)
      ? { dtype, shape, data: Float32Array.from(numbers) }
      : dtype === 'int32'
        ? { dtype, shape, data: Int32Array.from(numbers) }
        : { dtype, shape, data: Uint8Array.from(numbers) }
  }
  return { placeIn, out }
}

/** Primitives, and what they are called with, in memory that all threads see. */
const primitivesOver = (library: Library, memory: WebAssembly.Memory, addresses: readonly number[]) => {
  const base = library.addressOf(new Uint8Array(memory.buffer))
  const owned: (() => void)[] = []
  const [memories, primitives] = [new Map<string, Handle>(), new Map<Handle, Handle>()]
  const memoryOf = ({ buffer, offset, descriptor }: Given): Handle => {
    const address = base + BigInt((addresses[buffer] ?? 0) + offset)
    const key = `${address} ${descriptor}`
    const found = memories.get(key) ?? library.make('dnnl_memory_create', descriptor, library.engine, address) ?? null
    if (!memories.has(key)) owned.push(() => library.call('dnnl_memory_destroy', found))
    memories.set(key, found)
    return found
  }
  const primitiveOf = (descriptor: Handle): Handle => {
    const found = primitives.get(descriptor) ?? library.make('dnnl_primitive_create', descriptor) ?? null
    if (!primitives.has(descriptor)) owned.push(() => library.call('dnnl_primitive_destroy', found))
    primitives.set(descriptor, found)
    return found
  }
  return {
    commandOf: ({ descriptor, arguments: given }: Piece): Command => {
      const bytes = new Uint8Array(new SharedArrayBuffer(16 * given.length))
      const list = new DataView(bytes.buffer)
      given.forEach(([argument, array], i) => {
        list.setInt32(16 * i, argument, true)
        list.setBigUint64(16 * i + 8, memoryOf(array) ?? 0n, true)
      })
      // The library reads the list wherever this process is; it stays as long as what is owned does.
      owned.push(() => void bytes)
      const primitive = primitiveOf(descriptor) ?? 0n
      return { kind: 'primitive', primitive, count: given.length, list: library.addressOf(bytes) }
    },
    release: () => {
      for (const drop of owned.splice(0).reverse()) drop()
    },
  }
}

/** Bytes that a walk touches while its outermost level goes over a range. */
const spanOf = (
  { buffer, element, offset, steps }: Walk,
  levels: Loop['levels'],
  [from, to]: Span,
  addresses: readonly number[],
): Span => {
  const [outer = 0] = steps
  const inner = steps.slice(1).reduce((sum, step, i) => sum + step * ((levels[i + 1]?.length ?? 1) - 1), 0)
  const at = (addresses[buffer] ?? 0) + (offset + from * outer) * elementBytes[element]
  return [at, at + ((to - from - 1) * outer + inner + 1) * elementBytes[element]]
}

/** Draft, memory, loops and primitives of a graph. Errors: `compile` where its arrays are more than a memory can hold. */
export const programOf = (
  library: Library,
  graph: Graph,
  setting: Omit<Target, 'pieces'>,
  threads: number,
  how: How,
): Effect<Program> =>
  effect(async (run) => {
    const owner = ownership(library)
    const plan = planned(graph, library, owner, { ...setting, pieces: piecesFor(threads) }, how)
    const { addresses, bytes } = layoutOf(plan)
    if (bytes > addressable) {
      owner.release()
      const gibibytes = (bytes / 2 ** 30).toFixed(1)
      const hint = 'take onnx:cpu, or smaller batches (training: microBatches)'
      await run(TE.left([failure('compile', 'onednn', 'arrays of at most 4 GiB together', `${gibibytes} GiB`, hint)]))
    }
    const pages = Math.ceil(bytes / pageBytes)
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    const all = [...plan.once, ...plan.each]
    const loops = all.filter((i): i is LoopInstruction => i.kind === 'loop')
    const { text, names } = moduleText(loops.map(({ loop }) => loop))
    const module = await run(compileText(text))
    const { exports } = new WebAssembly.Instance(module, {
      '': { memory },
      lanes: Object.fromEntries(Object.entries(lanes).map(([name, { of }]) => [name, of])),
    })
    const nameOf = new Map(loops.map((l, i) => [l, names[i] ?? '']))
    const { placeIn, out } = arraysOver(memory, addresses)
    const primitives = primitivesOver(library, memory, addresses)

    const bytesOf = (b: number): Span => [addresses[b] ?? 0, (addresses[b] ?? 0) + (plan.buffers[b] ?? 0)]
    const given = ({ buffer, offset, descriptor }: Given): Span => {
      const from = (addresses[buffer] ?? 0) + offset
      return [from, from + Number(library.ask('dnnl_memory_desc_get_size', descriptor))]
    }
    const hosts: (() => Checked<void>)[] = []
    const hosted = ({ inputs, output, compute, node }: HostInstruction): Command => {
      const arrays = inputs.map(({ view, dtype }) => placeIn({ view, dtype, shape: view.shape }))
      const into = placeIn({ ...output, shape: output.view.shape })
      const at = hosts.push(() => {
        const target = into.read()
        const computed = compute(
          arrays.map((a) => a.read()),
          target,
        )
        if (E.isLeft(computed))
          return fail('run', placeOf(nodeAt(plan.graph, node), node), computed.left.expected, computed.left.got)
        into.write(target)
        return done
      })
      return { kind: 'host', at: at - 1 }
    }
    const waysOf = (i: Instruction): readonly (readonly Share<Command>[])[] => {
      if (i.kind === 'host') return [[{ reads: i.reads.map(bytesOf), writes: i.writes.map(bytesOf), work: hosted(i) }]]
      if (i.kind === 'primitive') {
        const writes = new Set(i.writes)
        const spans = (piece: Piece, isWrite: boolean): readonly Span[] =>
          piece.arguments.flatMap(([, a]) => (writes.has(a.buffer) === isWrite ? [given(a)] : []))
        const shareOf = (piece: Piece): Share<Command> => ({
          reads: spans(piece, false),
          writes: spans(piece, true),
          work: primitives.commandOf(piece),
        })
        return [i.pieces.map(shareOf)]
      }
      const { levels, arrays, results } = i.loop
      const pointers = pointersOf(i.loop).pointers.map(
        ({ buffer, element, offset }) => (addresses[buffer] ?? 0) + offset * elementBytes[element],
      )
      const shareOf = (range: Span): Share<Command> => ({
        reads: arrays.map((w) => spanOf(w, levels, range, addresses)),
        writes: results.map((w) => spanOf(w, levels, range, addresses)),
        work: { kind: 'loop', name: nameOf.get(i) ?? '', given: [...range, ...pointers] },
      })
      const [long, short] = [rangesOf(i.loop, threads, how.costs), cutRanges(i.loop, threads)]
      return (long.length > 1 ? [long] : [short, [wholeRange(i.loop)]]).map((ranges) => ranges.map(shareOf))
    }
    const phases = [plan.once, plan.each].map((instructions) => scheduled(instructions, waysOf, threads))
    const isShared = phases.some((turns) => turns[1]?.some((work) => work !== undefined))
    const team = await run(teamOf(library, isShared ? threads : 1))
    const number = team.add({ module, memory, phases })
    let fault: Checked<void> = done
    const setup = {
      exports,
      execute: (primitive: bigint, stream: bigint, count: number, list: bigint) =>
        library.ask('dnnl_primitive_execute', primitive, stream, count, list),
      stream: library.stream ?? 0n,
      host: (at: number) => {
        const result = hosts[at]?.() ?? done
        if (E.isRight(result)) return
        fault = result
        throw new Error('an instruction of JavaScript')
      },
      meet: team.meet,
      control: team.control,
    }
    const runs = phases.map(([first = [], second = []], phase) => {
      const turn = turnOf(first, setup)
      return (): Checked<void> => {
        fault = done
        Atomics.store(team.control, slots.stopped, 0)
        if (team.threads > 1 && second.length > 0) team.begin(number, phase)
        try {
          turn()
        } catch (e) {
          if (E.isRight(fault)) throw e
        }
        if (E.isRight(fault) && Atomics.load(team.control, slots.stopped) !== 0)
          throw new Error('a thread of oneDNN failed')
        return fault
      }
    })
    for (const { view, data, dtype } of plan.constants) placeIn({ view, dtype, shape: view.shape }).write(data)
    return {
      plan,
      feed: (values) => {
        for (const [name, { data }] of Object.entries(values)) {
          const placed = plan.leaves[name]
          if (placed !== undefined) placeIn(placed).write(data)
        }
      },
      prepare: runs[0] ?? (() => done),
      run: runs[1] ?? (() => done),
      read: (of) => Object.fromEntries(Object.entries(of).map(([name, placed]) => [name, out(placed)])),
      release: () => {
        team.drop(number)
        primitives.release()
        owner.release()
      },
    }
  })
