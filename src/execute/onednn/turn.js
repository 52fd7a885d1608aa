// @ts-check
/**
 * What a thread of a team does. JavaScript, since Node 20 starts no worker from TypeScript, and the tests run on sources.
 *
 * @typedef {{ readonly kind: 'loop', readonly name: string, readonly given: readonly number[] }
 *   | { readonly kind: 'primitive', readonly primitive: bigint, readonly count: number, readonly list: bigint }
 *   | { readonly kind: 'host', readonly at: number }} Command
 * @typedef {(primitive: bigint, stream: bigint, count: number, list: bigint) => unknown} Execute
 */

/** Numbers of a team's memory: each thread's count of meetings lies a cache line from the others'. */
export const slots = /** @type {const} */ ({
  go: 0,
  program: 16,
  phase: 32,
  sleepers: 48,
  stopped: 64,
  first: 80,
  apart: 16,
})
/** Looks at another thread's count before this one sleeps. */
const patience = 20_000
/** Milliseconds until a sleeper looks again. */
const nap = 2

/**
 * A function that returns when every thread of the team called it as often as this one.
 * @param {Int32Array} control
 * @param {number} own
 * @param {number} threads
 */
export const meeting = (control, own, threads) => {
  const slot = (/** @type {number} */ t) => slots.first + t * slots.apart
  let met = 0
  return () => {
    met = (met + 1) | 0
    Atomics.store(control, slot(own), met)
    if (Atomics.load(control, slots.sleepers) > 0) Atomics.notify(control, slot(own))
    for (let t = 0; t < threads; t++) {
      let looks = 0
      for (;;) {
        const seen = Atomics.load(control, slot(t))
        if (((seen - met) | 0) >= 0) break
        if (++looks < patience) continue
        Atomics.add(control, slots.sleepers, 1)
        Atomics.wait(control, slot(t), seen, nap)
        Atomics.sub(control, slots.sleepers, 1)
      }
    }
  }
}

/**
 * Runs a thread's commands; undefined: meet the others. What fails stops all threads at their next meeting, and is thrown by this one
 * once it is through.
 * @param {readonly (Command | undefined)[]} commands
 * @param {{ readonly exports: Readonly<Record<string, unknown>>, readonly execute: Execute, readonly stream: bigint, readonly host: (at: number) => void, readonly meet: () => void, readonly control: Int32Array }} setting
 */
export const turnOf = (commands, { exports, execute, stream, host, meet, control }) => {
  const acts = commands.map((c) => {
    if (c === undefined) return undefined
    if (c.kind === 'host') return () => host(c.at)
    if (c.kind === 'primitive')
      return () => {
        const status = execute(c.primitive, stream, c.count, c.list)
        if (status !== 0) throw new Error(`dnnl_primitive_execute: status ${status}`)
      }
    const { [c.name]: loop } = exports
    if (typeof loop !== 'function') throw new Error(`no loop ${c.name}`)
    return () => loop(...c.given)
  })
  return () => {
    let isStopped = false
    /** @type {unknown} */
    let fault
    for (const act of acts) {
      if (act === undefined) {
        meet()
        isStopped = Atomics.load(control, slots.stopped) !== 0
      } else if (!isStopped)
        try {
          act()
        } catch (e) {
          fault = e
          isStopped = true
          Atomics.store(control, slots.stopped, 1)
        }
    }
    if (fault !== undefined) throw fault
  }
}
