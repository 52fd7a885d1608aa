import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { type Effect, showErrors } from '../src/error.ts'
import { executorByName } from '../src/execute/auto.ts'
import type { Executable, Values } from '../src/execute/executor.ts'
import { inHalf } from '../src/execute/in-half.ts'
import { E, TE, t } from '../src/prelude.ts'
import { sample } from '../src/samplers/index.ts'
import { type Work, workNamed } from './works.ts'

/** Our side of the bench: one work a process, spoken to as `peers/README.md` says. */

const Request = t.union([
  t.type({
    cmd: t.literal('setup'),
    work: t.string,
    threads: t.number,
    executor: t.string,
    precision: t.keyof({ float32: null, bfloat16: null }),
  }),
  t.type({ cmd: t.literal('run'), repeats: t.number }),
  t.type({ cmd: t.literal('memory') }),
  t.type({ cmd: t.literal('quit') }),
])

const must = async <A>(e: Effect<A>): Promise<A> => {
  const result = await e()
  if (E.isLeft(result)) throw new Error(showErrors(result.left))
  return result.right
}
const status = (field: string): number =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) / 1024
const resetPeak = (): void => {
  try {
    writeFileSync('/proc/self/clear_refs', '5')
  } catch {
    // not allowed everywhere; the peak then includes the start of the process
  }
}

type SetUp = Extract<t.TypeOf<typeof Request>, { readonly cmd: 'setup' }>
type Iterate = () => Promise<number>
const first = (values: Values, name: string): number => values[name]?.data[0] ?? Number.NaN

const setUp = async ({ work, threads, executor: name, precision }: SetUp): Promise<Iterate> => {
  const make = workNamed(work)
  if (make === undefined) throw new Error(`no work named ${work}`)
  const w = await must(TE.fromEither(make()))
  const found = await must(executorByName(name))
  const executor = precision === 'float32' ? found : inHalf(precision)(found)
  if (w.kind === 'forward') {
    const x = await must(executor.compile(w.graph, { mode: 'sampling', constants: w.weights, threads }))
    return async () => first(await must(x.run(w.feeds)), 'value')
  }
  if (w.kind === 'sampling') {
    const { plan, graph, from, feeds } = w
    const executable = await must(executor.compile(graph, { mode: 'sampling', constants: w.weights, threads }))
    const noiseOf = () => {
      throw new Error('a sampler without noise')
    }
    return async () => {
      const { x } = await must(sample({ plan, graph, executable, from, feeds, noiseOf }))
      return Array.from(x.data, Math.abs).reduce((sum, value) => sum + value, 0) / x.data.length
    }
  }
  const { plan, constants } = w
  return training(w, await must(executor.compile(plan.graph, { mode: 'training', constants, threads })))
}
/** A function of its own, so that no closure holds on to the initial state. */
const training = async (
  { plan: { hostFeeds, carry }, initial, feeds }: Extract<Work, { readonly kind: 'step' }>,
  x: Executable,
): Promise<Iterate> => {
  const stepper = await must(x.start(carry, initial))
  let i = 0
  return async () => first(await must(stepper.step({ ...hostFeeds(i++), ...feeds })), 'loss')
}

let iterate: Iterate | undefined
let before = 0
const answer = async (r: t.TypeOf<typeof Request>): Promise<unknown> => {
  if (r.cmd === 'setup') {
    resetPeak()
    before = status('VmRSS')
    iterate = await setUp(r)
    return { ok: true }
  }
  if (r.cmd === 'memory') return { peakMiB: status('VmHWM') - before, absoluteMiB: status('VmHWM') }
  if (r.cmd === 'quit') process.exit(0)
  const [ms, values]: [number[], number[]] = [[], []]
  for (let i = 0; i < r.repeats && iterate !== undefined; i++) {
    const started = performance.now()
    values.push(await iterate())
    ms.push(performance.now() - started)
  }
  return { ms, values }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request: unknown = JSON.parse(line)
  const reply = Request.is(request)
    ? await answer(request).catch((reason: unknown) => ({ ok: false, reason: String(reason) }))
    : { ok: false, reason: 'not a request' }
  process.stdout.write(`${JSON.stringify(reply)}\n`)
}
