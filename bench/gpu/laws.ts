import fc from 'fast-check'
import { executorByName } from '../../src/execute/auto.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { opKinds } from '../../src/graph/ops.ts'
import { type Case, caseOf } from '../../test/arbitrary/cases.ts'
import { arbitraryGraph } from '../../test/arbitrary/graphs.ts'
import { difference, right, runOn } from '../../test/arbitrary/run.ts'

/** `laws.js EXECUTOR CASES`: every op, and graphs of them, against the reference in double precision: a line for each. */

const [, , name = '', cases = '3'] = process.argv
const executor = right(await executorByName(name)())
/** Of float32 functions as GPUs have them, and what they add up to in a graph. */
const tolerances = { op: 1e-5, graph: 3e-4 } as const

const agrees =
  (tolerance: number) =>
  async ({ graph, feeds }: Case) => {
    const far = difference(await runOn(executor)(graph, feeds), await runOn(reference)(graph, feeds), tolerance)
    if (far !== undefined) throw new Error(far)
  }
const all: readonly (readonly [string, fc.Arbitrary<Case>, number])[] = [
  ...opKinds.map((op) => [op, caseOf(op), tolerances.op] as const),
  ['graphs', arbitraryGraph({ steps: 9 }), tolerances.graph],
]
let failed = 0
for (const [law, arbitrary, tolerance] of all) {
  const found = await fc.check(fc.asyncProperty(arbitrary, agrees(tolerance)), { numRuns: Number(cases), seed: 20_240 })
  if (found.failed) failed++
  const reason = found.errorInstance instanceof Error ? found.errorInstance.message.split('\n')[0] : ''
  console.log(found.failed ? `failed   ${law}: ${reason}` : `passed   ${law}`)
}
console.log(`${name}: ${all.length - failed} passed, ${failed} failed, ${cases} cases each`)
process.exit(failed === 0 ? 0 : 1)
