import { type Checked, type Effect, effect, fail, failure } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import { nodeAt } from '../../graph/graph.ts'
import { roundings } from '../../graph/half.ts'
import { isFloat, isHalf, size } from '../../graph/types.ts'
import { E, TE } from '../../prelude.ts'
import { placeOf } from '../check-graph.ts'
import type { Value, Values } from '../executor.ts'
import { compileText } from '../tail/machine.ts'
import type { Handle } from './api.ts'
import { ownership } from './draft.ts'
import { kindOf, lanes } from './expression.ts'
import type { Library } from './load.ts'
import type { Walk } from './loop.ts'
import { moduleText } from './loop-text.ts'
import { planOf, type Setting } from './lower.ts'
import { layoutOf } from './memory.ts'
import type { Array as Given, Instruction, LoopInstruction, Placed, Plan, PrimitiveInstruction } from './plan.ts'

const pageBytes = 65_536
/** What a 32-bit memory ends at. */
const addressable = 2 ** 32 - pageBytes

/** A plan over memory of its own. */
export interface Program {
  readonly plan: Plan
  /** What a step runs, in order. */
  readonly steps: readonly { readonly instruction: Instruction; readonly run: () => Checked<void> }[]
  /** Writes leaves; others are left as they are. */
  readonly feed: (values: Values) => void
  /** Runs what is computed once. */
  readonly prepare: () => Checked<void>
  readonly run: () => Checked<void>
  readonly read: (of: Readonly<Record<string, Placed>>) => Values
  readonly release: () => void
}

type Run = () => Checked<void>
const done: Checked<void> = E.right(undefined)

/** Functions that put arrays of the plan into memory and out of it. */
const arraysOver = (memory: WebAssembly.Memory, addresses: readonly number[]) => {
  const numbersOf = ({ view, dtype, shape }: Placed): Float32Array | Int32Array => {
    const of = kindOf(dtype) === 'float' ? Float32Array : Int32Array
    return new of(memory.buffer, (addresses[view.buffer] ?? 0) + view.offset * 4, size(shape))
  }
  const out = (placed: Placed): Value => {
    const { dtype, shape } = placed
    const numbers = numbersOf(placed)
    return isFloat(dtype)
      ? { dtype, shape, data: Float32Array.from(numbers) }
      : dtype === 'int32'
        ? { dtype, shape, data: Int32Array.from(numbers) }
        : { dtype, shape, data: Uint8Array.from(numbers) }
  }
  return { numbersOf, out }
}

/** Memory objects and argument lists of primitives, made once. */
const primitivesOver = (library: Library, memory: WebAssembly.Memory, addresses: readonly number[]) => {
  const base = library.addressOf(new Uint8Array(memory.buffer))
  const owned: (() => void)[] = []
  const known = new Map<string, Handle>()
  const memoryOf = ({ buffer, offset, descriptor }: Given): Handle => {
    const address = base + BigInt((addresses[buffer] ?? 0) + offset * 4)
    const key = `${address} ${descriptor}`
    const found = known.get(key) ?? library.make('dnnl_memory_create', descriptor, library.engine, address) ?? null
    if (!known.has(key)) owned.push(() => library.call('dnnl_memory_destroy', found))
    known.set(key, found)
    return found
  }
  const prepared = ({ descriptor, arguments: given }: PrimitiveInstruction): Run => {
    const made = library.make('dnnl_primitive_create', descriptor) ?? null
    owned.push(() => library.call('dnnl_primitive_destroy', made))
    const list = new DataView(new ArrayBuffer(16 * given.length))
    given.forEach(([argument, array], i) => {
      list.setInt32(16 * i, argument, true)
      list.setBigUint64(16 * i + 8, memoryOf(array) ?? 0n, true)
    })
    const bytes = new Uint8Array(list.buffer)
    return () => {
      library.call('dnnl_primitive_execute', made, library.stream, given.length, bytes)
      return done
    }
  }
  return {
    prepared,
    release: () => {
      for (const drop of owned.splice(0).reverse()) drop()
    },
  }
}

/** Draft, memory, loops and primitives of a graph. Errors: `compile` where its arrays are more than a memory can hold. */
export const programOf = (library: Library, graph: Graph, setting: Setting): Effect<Program> =>
  effect(async (run) => {
    const owner = ownership(library)
    const plan = planOf(graph, library, owner, setting)
    const { addresses, bytes } = layoutOf(plan)
    if (bytes > addressable) {
      owner.release()
      const gibibytes = (bytes / 2 ** 30).toFixed(1)
      await run(TE.left([failure('compile', 'onednn', 'arrays of at most 4 GiB together', `${gibibytes} GiB`)]))
    }
    const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / pageBytes) })
    const all = [...plan.once, ...plan.each]
    const loops = all.filter((i): i is LoopInstruction => i.kind === 'loop')
    const { text, names } = moduleText(loops.map(({ loop }) => loop))
    const { exports } = new WebAssembly.Instance(await run(compileText(text)), {
      '': { memory },
      lanes: Object.fromEntries(Object.entries(lanes).map(([name, { of }]) => [name, of])),
    })
    const functionOf = new Map(loops.map((l, i) => [l, exports[names[i] ?? '']]))
    const { numbersOf, out } = arraysOver(memory, addresses)
    const primitives = primitivesOver(library, memory, addresses)

    const looped = (instruction: LoopInstruction): Run => {
      const f = functionOf.get(instruction)
      if (typeof f !== 'function') throw new Error('a loop without a function')
      const { levels, arrays, results } = instruction.loop
      const address = ({ buffer, offset }: Walk): number => (addresses[buffer] ?? 0) + offset * 4
      const given = [0, levels[0]?.length ?? 0, ...arrays.map(address), ...results.map(address)]
      return () => {
        f(...given)
        return done
      }
    }
    const runOf = (instruction: Instruction): Run => {
      if (instruction.kind === 'loop') return looped(instruction)
      if (instruction.kind === 'primitive') return primitives.prepared(instruction)
      const { inputs, output, compute, node } = instruction
      const arrays = inputs.map(({ view, dtype }) => numbersOf({ view, dtype, shape: view.shape }))
      const into = numbersOf({ ...output, shape: output.view.shape })
      return () => {
        const computed = compute(arrays.map((a) => Float64Array.from(a)))
        if (E.isLeft(computed))
          return fail('run', placeOf(nodeAt(graph, node), node), computed.left.expected, computed.left.got)
        into.set(computed.right)
        return done
      }
    }
    const inTurn = (runs: readonly Run[]): Checked<void> => {
      for (const r of runs) {
        const result = r()
        if (E.isLeft(result)) return result
      }
      library.call('dnnl_stream_wait', library.stream)
      return done
    }
    const [once, each] = [plan.once.map(runOf), plan.each.map(runOf)]
    for (const { view, data, dtype } of plan.constants) numbersOf({ view, dtype, shape: view.shape }).set(data)
    return {
      plan,
      steps: plan.each.map((instruction, i) => ({ instruction, run: each[i] ?? (() => done) })),
      feed: (values) => {
        for (const [name, { data }] of Object.entries(values)) {
          const placed = plan.leaves[name]
          if (placed !== undefined)
            numbersOf(placed).set(isHalf(placed.dtype) ? data.map(roundings[placed.dtype]) : data)
        }
      },
      prepare: () => inTurn(once),
      run: () => inTurn(each),
      read: (of) => Object.fromEntries(Object.entries(of).map(([name, placed]) => [name, out(placed)])),
      release: () => {
        primitives.release()
        owner.release()
      },
    }
  })
