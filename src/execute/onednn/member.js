// @ts-check
// A thread of a team beside the first: runs its turns of programs, told through memory when; see turn.js and team.ts.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import koffi from 'koffi'
import { meeting, slots, turnOf } from './turn.js'

/**
 * @typedef {{ readonly path: string, readonly execute: readonly [string, readonly string[]], readonly omp: string | undefined, readonly stacks: Readonly<Record<string, number>>, readonly stream: bigint, readonly control: Int32Array, readonly own: number, readonly threads: number, readonly port: import('node:worker_threads').MessagePort }} Start
 * @typedef {{ readonly add: number, readonly module: WebAssembly.Module, readonly memory: WebAssembly.Memory, readonly lanes: readonly string[], readonly phases: readonly (readonly (import('./turn.js').Command | undefined)[])[] } | { readonly drop: number }} Message
 */

/** Looks for work before the thread sleeps. */
const patience = 100_000

/** @type {Start} */
const { path, execute: signature, omp, stacks, stream, control, own, threads, port } = workerData
const [result, given] = signature
koffi.config(stacks)
const execute = koffi.load(path).func('dnnl_primitive_execute', result, [...given])
// Primitives of this thread are done by it alone.
if (omp !== undefined) koffi.load(omp).func('omp_set_num_threads', 'void', ['int'])(1)
const meet = meeting(control, own, threads)
/** @type {Map<number, readonly (() => void)[]>} */
const programs = new Map()

setFlagsFromString('--expose-gc')
/**
 * V8 counts no shared memory, and this thread makes next to nothing else: without being told to it would keep what dropped programs had.
 * @type {() => void}
 */
const collect = runInNewContext('gc')

const readPost = () => {
  let isDropped = false
  for (let post = receiveMessageOnPort(port); post !== undefined; post = receiveMessageOnPort(port)) {
    /** @type {Message} */
    const message = post.message
    if ('drop' in message) {
      isDropped = programs.delete(message.drop) || isDropped
      continue
    }
    const { add, module, memory, lanes, phases } = message
    // Functions of JavaScript are called by the first thread alone.
    const { exports } = new WebAssembly.Instance(module, {
      '': { memory },
      lanes: Object.fromEntries(lanes.map((name) => [name, () => 0])),
    })
    const setting = { exports, execute, stream, host: () => {}, meet, control }
    programs.set(
      add,
      phases.map((commands) => turnOf(commands, setting)),
    )
  }
  if (isDropped) collect()
}

let seen = Atomics.load(control, slots.go)
parentPort?.postMessage('ready')
for (;;) {
  for (let looks = 0; Atomics.load(control, slots.go) === seen; looks++)
    if (looks > patience) Atomics.wait(control, slots.go, seen)
  seen = Atomics.load(control, slots.go)
  readPost()
  const [program, phase] = [Atomics.load(control, slots.program), Atomics.load(control, slots.phase)]
  try {
    programs.get(program)?.[phase]?.()
  } catch {
    // The first thread sees in memory that the run was stopped.
  }
}
