import { format } from 'node:util'
import { ASYMMETRIC_MATCHERS_OBJECT, chai, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from '@vitest/expect'

/**
 * Stands in for vitest in the emulated machine, where that would take minutes to start: tests run one after another once their module
 * is loaded. LATENTGRAPH_TESTS chooses those whose names match it.
 */
for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin)
type Body = (...args: readonly unknown[]) => unknown
interface Test {
  readonly name: string
  readonly body: () => unknown
  readonly before: readonly Body[]
}
class Skipped extends Error {}
const skip = (reason?: string): never => {
  throw new Skipped(reason)
}

const tests: Test[] = []
const names: string[] = []
let [before, after, current]: [readonly Body[], readonly Body[], string] = [[], [], '']

const titled = (title: string, row: readonly unknown[]): string => {
  const [first] = row
  const named = title.replace(/\$(\w+)/g, (whole, key) =>
    typeof first === 'object' && first !== null && key in first ? String(Reflect.get(first, key)) : whole,
  )
  return format(named, ...row.slice(0, (named.match(/%[sdi]/g) ?? []).length))
}
const withTable = (register: (name: string, body: () => unknown) => void) =>
  Object.assign((name: string, body: Body) => register(name, () => body({ skip })), {
    each: (table: readonly unknown[]) => (title: string, body: Body) => {
      for (const entry of table) {
        const row: readonly unknown[] = Array.isArray(entry) ? entry : [entry]
        register(titled(title, row), () => body(...row))
      }
    },
  })

export const test = withTable((name, body) => {
  tests.push({ name: [...names, name].join(' > '), body, before })
})
export const it = test
export const describe = withTable((name, body) => {
  const outer = before
  names.push(name)
  body()
  names.pop()
  before = outer
})
export const beforeAll = (body: Body): void => {
  let ran: unknown
  before = [...before, () => (ran ??= Promise.resolve(body()))]
}
export const afterAll = (body: Body): void => {
  after = [...after, body]
}
export const expect = Object.assign(chai.expect, Reflect.get(globalThis, ASYMMETRIC_MATCHERS_OBJECT), {
  getState: () => ({ currentTestName: current, testPath: '' }),
})

const wanted = new RegExp(process.env.LATENTGRAPH_TESTS ?? '')
const count = { passed: 0, failed: 0, skipped: 0 }
const outcome = async ({ body, before: first }: Test): Promise<readonly [keyof typeof count, string]> => {
  try {
    for (const f of first) await f()
    await body()
    return ['passed', '']
  } catch (e) {
    return e instanceof Skipped ? ['skipped', `: ${e.message}`] : ['failed', `\n${e instanceof Error ? e.stack : e}`]
  }
}
process.once('beforeExit', async () => {
  for (const one of tests) {
    current = one.name
    if (!wanted.test(one.name)) continue
    const started = performance.now()
    const [what, why] = await outcome(one)
    count[what]++
    console.log(`${what}: ${one.name}, ${Math.round(performance.now() - started)} ms${why}`)
  }
  for (const f of after) await f()
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`)
  if (count.failed > 0) process.exitCode = 1
})
