import { type Effect, effect } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import { omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, Executable, Executor, FileArrays, Stepper, Value, Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { bytesOf, fromBytes, toBytes } from './arrays.ts'
import { download, drop, execute, guarded, type Loaded, memoryOfProgram, unload, upload } from './client.ts'
import { type Engine, engineOf, loadProgram } from './engine.ts'
import { elementTypes } from './pjrt.ts'
import { askedDevices } from './places.ts'
import { type Program, programOf } from './program.ts'

/** Arrays by name, of each device its own. */
type Arrays = Readonly<Record<string, readonly bigint[]>>
const dropAll = ({ client }: Engine, arrays: Arrays): void => drop(client, Object.values(arrays).flat())

/** A copy on each device, or a part of the first axis on each. */
const uploadOne = async ({ client }: Engine, value: Value, isSharded: boolean): Promise<readonly bigint[]> => {
  const { devices } = client
  const bytes = toBytes(value)
  const [first = 1, ...rest] = value.shape
  const shape = isSharded ? [first / devices.length, ...rest] : value.shape
  const length = isSharded ? bytes.length / devices.length : bytes.length
  const made: bigint[] = []
  for (const [i, device] of devices.entries()) {
    const own = isSharded ? bytes.slice(i * length, (i + 1) * length) : bytes
    made.push(await upload(client, device, own, elementTypes[value.dtype], shape))
  }
  return made
}
/** Copies on the devices of what a program reads. */
const uploadAll = async (engine: Engine, values: Values, sharded: ReadonlySet<string>): Promise<Arrays> => {
  const made: Record<string, readonly bigint[]> = {}
  try {
    for (const [name, value] of Object.entries(values)) made[name] = await uploadOne(engine, value, sharded.has(name))
    return made
  } catch (e) {
    dropAll(engine, made)
    throw e
  }
}
const downloadAll = async ({ client }: Engine, types: Types, arrays: Arrays): Promise<Values> => {
  const read: [string, Value][] = []
  for (const [name, type] of Object.entries(types)) {
    const [buffer] = arrays[name] ?? []
    if (buffer !== undefined) read.push([name, fromBytes(type, await download(client, buffer, bytesOf(type)))])
  }
  return Object.fromEntries(read)
}

/** A program with its arguments in order. */
interface Compiled {
  readonly program: Program
  readonly loaded: Loaded
}
const compiled = (engine: Engine, graph: Graph, carry: Carry, whole: readonly string[]): Effect<Compiled> =>
  effect(async (run) => {
    const program = programOf(graph, carry, { devices: engine.client.devices.length, whole: new Set(whole) })
    return { program, loaded: await run(loadProgram(engine, program)) }
  })
const called = async ({ client }: Engine, { program, loaded }: Compiled, arrays: Arrays): Promise<Arrays> => {
  const given = client.devices.map((_, device) =>
    program.arguments.map((name) => {
      const array = arrays[name]?.[device]
      if (array === undefined) throw new Error(`${name} was not fed`)
      return array
    }),
  )
  const results = await execute(client, loaded, given)
  return Object.fromEntries(program.outputs.map((name, i) => [name, results.map((own) => own[i] ?? 0n)]))
}

/** Work that is going on holds on to what it uses: what was disposed of goes when the last of it is done. */
const usage = (release: () => void) => {
  let [running, over] = [0, false]
  return {
    during: async <A>(body: () => Promise<A>): Promise<A> => {
      running++
      try {
        return await body()
      } finally {
        running--
        if (over && running === 0) release()
      }
    },
    end: (): void => {
      over = true
      if (running === 0) release()
    },
  }
}

const stepper = (engine: Engine, made: Compiled, carry: Carry, held: Arrays, given: Arrays): Stepper => {
  const { client, name } = engine
  const { program, loaded } = made
  const leaves = Object.values(carry)
  const own = omit(given, leaves)
  const rest = omit(program.types.outputs, Object.keys(carry))
  let state = only(given, leaves)
  const { during, end } = usage(() => {
    dropAll(engine, { ...state, ...own })
    unload(client, loaded)
  })
  return {
    step: (feeds) =>
      guarded('run', name, () =>
        during(async () => {
          const fed = await uploadAll(engine, only(feeds, program.arguments), program.sharded)
          const before = state
          try {
            const results = await called(engine, made, { ...held, ...own, ...state, ...fed })
            state = Object.fromEntries(Object.entries(carry).map(([output, leaf]) => [leaf, results[output] ?? []]))
            dropAll(engine, before)
            const others = omit(results, Object.keys(carry))
            try {
              return await downloadAll(engine, rest, others)
            } finally {
              dropAll(engine, others)
            }
          } finally {
            dropAll(engine, fed)
          }
        }),
      ),
    read: guarded('run', name, () => during(() => downloadAll(engine, only(program.types.arguments, leaves), state))),
    dispose: end,
  }
}

const executable = (engine: Engine, graph: Graph, held: Arrays): Executable => {
  const { client, name } = engine
  const whole: { made?: Promise<Awaited<ReturnType<Effect<Compiled>>>>; loaded?: Loaded } = {}
  const { during, end } = usage(() => {
    dropAll(engine, held)
    if (whole.loaded !== undefined) unload(client, whole.loaded)
  })
  const withoutCarry: Effect<Compiled> = effect(async (run) => {
    whole.made = whole.made ?? compiled(engine, graph, {}, Object.keys(held))()
    const made = await run(() => whole.made ?? compiled(engine, graph, {}, Object.keys(held))())
    whole.loaded = made.loaded
    return made
  })
  return {
    run: (feeds) => () =>
      during(
        effect(async (run) => {
          const made = await run(withoutCarry)
          return run(
            guarded('run', name, async () => {
              const fed = await uploadAll(engine, only(feeds, made.program.arguments), made.program.sharded)
              try {
                const results = await called(engine, made, { ...held, ...fed })
                try {
                  return await downloadAll(engine, made.program.types.outputs, results)
                } finally {
                  dropAll(engine, results)
                }
              } finally {
                dropAll(engine, fed)
              }
            }),
          )
        }),
      ),
    start: (carry, initial) => () =>
      during(
        effect(async (run) => {
          const whole = [...Object.keys(held), ...Object.keys(initial)]
          const made = await run(compiled(engine, graph, carry, whole))
          const given = await run(
            guarded('run', name, () => uploadAll(engine, only(initial, made.program.arguments), made.program.sharded)),
          )
          return stepper(engine, made, carry, held, given)
        }),
      ),
    dispose: end,
  }
}

/** Leaves that are baked in, on the device: one file's array after the other. */
const baked = (engine: Engine, constants: Values, files: FileArrays): Effect<Arrays> =>
  effect(async (run) => {
    const made: Record<string, readonly bigint[]> = {}
    const put = async (name: string, value: Value): Promise<void> => {
      made[name] = await run(guarded('compile', engine.name, () => uploadOne(engine, value, false)))
    }
    try {
      for (const [name, value] of Object.entries(constants)) await put(name, value)
      for (const [name, { read }] of Object.entries(files)) await put(name, await run(read))
      return made
    } catch (e) {
      dropAll(engine, made)
      throw e
    }
  })

/**
 * Runs graphs on XLA, through a PJRT plugin that the user adds: on NVIDIA's and AMD's GPUs, TPUs and the CPU. Of several devices each has
 * all of the state and a part of what is fed along the first axis; gradients are summed over them.
 *
 * Errors: `compile` where the plugin or the package koffi is missing, or XLA does not take the program; `run` where the device has too
 * little memory, or feeds do not fit.
 */
export const xla = (platform: string, devices: number = askedDevices()): Executor =>
  contracted({
    name: `xla:${platform}`,
    describe: (graph, { carry = {}, baked: known = [] }) =>
      effect(async (run) => {
        const engine = await run(engineOf(platform, devices))
        const { program, loaded } = await run(compiled(engine, graph, carry, known))
        const memory = await run(guarded('compile', engine.name, () => memoryOfProgram(engine.client, loaded)))
        unload(engine.client, loaded)
        const ops: Record<string, number> = {}
        for (const [, op = ''] of program.text.matchAll(/= "?((?:stablehlo|chlo)\.\w+)/g)) ops[op] = (ops[op] ?? 0) + 1
        return { text: program.text, ops, memory }
      }),
    compile: (graph, { constants = {}, files = {} }) =>
      effect(async (run) => {
        const engine = await run(engineOf(platform, devices))
        return executable(engine, graph, await run(baked(engine, constants, files)))
      }),
  })
