import { type Effect, effect } from '../../error.ts'
import type { Graph } from '../../graph/graph.ts'
import { pipe, TE } from '../../prelude.ts'
import { omit, only } from '../carry.ts'
import { contracted } from '../contract.ts'
import type { Carry, CompileOptions, Executable, Executor, FileArrays, Stepper, Value, Values } from '../executor.ts'
import { remembered } from '../lifetime.ts'
import { type Across, type Client, execute, type Loaded } from './client.ts'
import { type Engine, engineOf, loadProgram } from './engine.ts'
import { deviceMemory, guarded, memoryOfProgram } from './memory.ts'
import { type AskedDevices, askedDevices } from './places.ts'
import { type Program, programInTurns, type Sharing } from './program.ts'
import { type Arrays, type Cut, downloadAll, dropAll, release, uploadAll, uploadOne } from './transfers.ts'

/** An engine, what each of its devices has of what is carried, and the devices of all processes where these step together. */
interface Device extends Engine, Pick<Sharing, 'carried'>, Pick<Client, 'across'> {}

/** A program with its arguments in order. */
interface Compiled {
  readonly program: Program
  readonly loaded: Loaded
  readonly cut: Cut
}
/** A program for this process's devices, or for those of all that train together. */
const compiled = (
  engine: Device,
  graph: Graph,
  carry: Carry,
  whole: readonly string[],
  across?: Across,
): Effect<Compiled> =>
  effect(async (run) => {
    const { ids, first } = across ?? { ids: engine.client.devices, first: 0 }
    const cut = { devices: ids.length, first }
    const program = await programInTurns(graph, carry, {
      devices: cut.devices,
      whole: new Set(whole),
      carried: engine.carried,
    })
    return { program, loaded: await run(loadProgram(engine, program, across?.ids)), cut }
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

const running = <A>({ name, client }: Engine, body: () => Promise<A>): Effect<A> =>
  guarded('run', name, body, () => deviceMemory(client))

const stepper = (engine: Engine, made: Compiled, carry: Carry, held: Arrays, given: Arrays): Stepper => {
  const { program, loaded } = made
  const leaves = Object.values(carry)
  const own = omit(given, leaves)
  const rest = omit(program.types.outputs, Object.keys(carry))
  let state = only(given, leaves)
  /** What is there ahead of the step that is fed it. */
  const ahead = new Set<Arrays>()
  const uploaded = (feeds: Values): Promise<Arrays> =>
    uploadAll(engine, only(feeds, program.arguments), program.sharded.arguments, made.cut)
  const step = async (brought: Arrays, feeds: Values): Promise<Values> => {
    let fed = brought
    try {
      fed = { ...brought, ...(await uploaded(feeds)) }
      const before = state
      const results = await called(engine, made, { ...held, ...own, ...state, ...fed })
      state = Object.fromEntries(Object.entries(carry).map(([output, leaf]) => [leaf, results[output] ?? []]))
      dropAll(engine, before)
      const others = omit(results, Object.keys(carry))
      try {
        return await downloadAll(engine, rest, others, program.sharded.outputs)
      } finally {
        dropAll(engine, others)
      }
    } finally {
      dropAll(engine, fed)
    }
  }
  return {
    step: (feeds) => running(engine, () => step({}, feeds)),
    ahead: (feeds) =>
      running(engine, async () => {
        const brought = await uploaded(feeds)
        ahead.add(brought)
        return (others: Values) =>
          running(engine, () => {
            ahead.delete(brought)
            return step(brought, others)
          })
      }),
    read: running(engine, () =>
      downloadAll(engine, only(program.types.arguments, leaves), state, program.sharded.arguments),
    ),
    dispose: () => void release(engine, [state, own, ...ahead], loaded),
  }
}

const executable = (engine: Device, graph: Graph, held: Arrays): Executable => {
  const whole: { loaded?: Loaded } = {}
  const withoutCarry = remembered(
    effect(async (run) => {
      const made = await run(compiled(engine, graph, {}, Object.keys(held)))
      whole.loaded = made.loaded
      return made
    }),
  )
  return {
    run: (feeds) =>
      effect(async (run) => {
        const made = await run(withoutCarry)
        return run(
          running(engine, async () => {
            const { program, cut } = made
            const fed = await uploadAll(engine, only(feeds, program.arguments), program.sharded.arguments, cut)
            try {
              const results = await called(engine, made, { ...held, ...fed })
              try {
                return await downloadAll(engine, made.program.types.outputs, results, made.program.sharded.outputs)
              } finally {
                dropAll(engine, results)
              }
            } finally {
              dropAll(engine, fed)
            }
          }),
        )
      }),
    start: (carry, initial) =>
      effect(async (run) => {
        const whole = [...Object.keys(held), ...Object.keys(initial)]
        const made = await run(compiled(engine, graph, carry, whole, engine.across))
        const upload = running(engine, () =>
          uploadAll(engine, only(initial, made.program.arguments), made.program.sharded.arguments, made.cut),
        )
        const given = await run(
          pipe(
            upload,
            TE.orElseFirstTaskK(() => () => release(engine, [], made.loaded)),
          ),
        )
        return stepper(engine, made, carry, held, given)
      }),
    dispose: () => void release(engine, [held], whole.loaded),
  }
}

/** Leaves that are baked in, on the device: one file's array after the other. */
const baked = (engine: Engine, constants: Values, files: FileArrays): Effect<Arrays> =>
  effect(async (run) => {
    const made: Record<string, readonly bigint[]> = {}
    const put = async (name: string, value: Value): Promise<void> => {
      const { name: at, client } = engine
      made[name] = await run(
        guarded(
          'compile',
          at,
          () => uploadOne(engine, value),
          () => deviceMemory(client),
        ),
      )
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
 * all parameters, a part of what is fed along the first axis, and of pictures that are being drawn; gradients are summed over them. With
 * `optimizerState: 'parts'` each has a part of the optimiser's state too. The processes of a `group` step together when they train: each is
 * fed the whole batch, of which its devices take their parts; all else they do by themselves.
 *
 * Errors: `compile` where the plugin or the package koffi is missing, or XLA does not take the program; `run` where the device has too
 * little memory, or feeds do not fit.
 */
export const xla = (platform: string, { count, optimizerState, group }: AskedDevices = askedDevices()): Executor => {
  const device = (engine: Engine, { mode }: Pick<CompileOptions, 'mode'>): Device => {
    const { across } = engine.client
    return {
      ...engine,
      carried: mode === 'sampling' ? 'parts' : optimizerState,
      ...(mode === 'training' && across !== undefined ? { across } : {}),
    }
  }
  return contracted({
    name: `xla:${platform}`,
    describe: (graph, { carry = {}, baked: known = [], mode }) =>
      effect(async (run) => {
        const engine = await run(engineOf(platform, count, group))
        const { program, loaded } = await run(compiled(device(engine, { mode }), graph, carry, known))
        const asked = await guarded('compile', engine.name, () => memoryOfProgram(engine.client, loaded))()
        await release(engine, [], loaded)
        const memory = await run(TE.fromEither(asked))
        const ops: Record<string, number> = {}
        for (const [, op = ''] of program.text.matchAll(/= "?((?:stablehlo|chlo)\.\w+)/g)) ops[op] = (ops[op] ?? 0) + 1
        return { text: program.text, ops, memory }
      }),
    compile: (graph, { constants = {}, files = {}, mode }) =>
      effect(async (run) => {
        const engine = await run(engineOf(platform, count, group))
        return executable(device(engine, { mode }), graph, await run(baked(engine, constants, files)))
      }),
  })
}
