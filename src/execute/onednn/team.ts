import { MessageChannel, Worker } from 'node:worker_threads'
import { type Effect, failure, reasonOf } from '../../error.ts'
import { TE } from '../../prelude.ts'
import { stacks } from '../native/koffi.ts'
import { inOrder, signatures } from './api.ts'
import { lanes } from './expression.ts'
import type { Library } from './load.ts'
import { type Command, meeting, slots } from './turn.js'

export type Commands = readonly (Command | undefined)[]
/** What the other threads have to know of a program: of each phase what each thread does. */
export interface Handed {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly phases: readonly (readonly Commands[])[]
}
/** The threads that share a program's work; this one is the first of them. */
export interface Team {
  readonly threads: number
  readonly control: Int32Array
  /** Waits for the others. */
  readonly meet: () => void
  /** Makes a program known; its number. */
  readonly add: (program: Handed) => number
  readonly drop: (program: number) => void
  /** Sets the others on a phase of a program, of which this thread then does its part. */
  readonly begin: (program: number, phase: number) => void
}

/** A thread alone. */
const alone: Team = {
  threads: 1,
  control: new Int32Array(new SharedArrayBuffer(4096)),
  meet: () => {},
  add: () => 0,
  drop: () => {},
  begin: () => {},
}

const gathered = async (library: Library, threads: number): Promise<Team> => {
  const control = new Int32Array(new SharedArrayBuffer(4 * (slots.first + threads * slots.apart)))
  const others = Array.from({ length: threads - 1 }, (_, i) => {
    const { port1, port2 } = new MessageChannel()
    const workerData = {
      path: library.path,
      execute: signatures.dnnl_primitive_execute,
      omp: library.omp,
      stacks,
      stream: library.make('dnnl_stream_create', library.engine, inOrder) ?? null,
      control,
      own: i + 1,
      threads,
      port: port2,
    }
    const worker = new Worker(new URL('./member.js', import.meta.url), { workerData, transferList: [port2] })
    return { port: port1, worker }
  })
  await Promise.all(
    others.map(
      ({ worker, port }) =>
        new Promise<void>((ready, refused) => {
          worker.once('message', () => ready())
          worker.once('error', refused)
          port.unref()
        }),
    ),
  )
  for (const { worker } of others) worker.unref()
  let programs = 0
  return {
    threads,
    control,
    meet: meeting(control, 0, threads),
    add: ({ module, memory, phases }) => {
      const add = ++programs
      others.forEach(({ port }, i) => {
        const own = phases.map((p) => p[i + 1] ?? [])
        port.postMessage({ add, module, memory, lanes: Object.keys(lanes), phases: own })
      })
      return add
    },
    drop: (program) => {
      for (const { port } of others) port.postMessage({ drop: program })
    },
    begin: (program, phase) => {
      Atomics.store(control, slots.stopped, 0)
      Atomics.store(control, slots.program, program)
      Atomics.store(control, slots.phase, phase)
      Atomics.add(control, slots.go, 1)
      Atomics.notify(control, slots.go)
    },
  }
}

const teams = new Map<string, Promise<Team>>()
/** So many threads with the library, started once in a process; they sleep where there is nothing to do. Errors: `compile`. */
export const teamOf = (library: Library, threads: number): Effect<Team> =>
  TE.tryCatch(
    async () => {
      if (threads === 1) return alone
      const key = `${library.path} ${threads}`
      const known = teams.get(key) ?? gathered(library, threads)
      teams.set(key, known)
      return await known
    },
    (e) => [failure('compile', 'onednn', `${threads} threads`, reasonOf(e))],
  )
