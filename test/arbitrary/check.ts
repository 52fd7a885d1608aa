import fc from 'fast-check'
import { expect } from 'vitest'

/** The same in every run, so that a failure is a change's, unless LATENTGRAPH_SEED says another. */
export const seed = Number(process.env.LATENTGRAPH_SEED ?? 20_240)

/**
 * Runs a property from the fixed seed, or from LATENTGRAPH_SEED, on LATENTGRAPH_CASES cases where that is fewer; a failure says how to see
 * it again.
 */
export const check = async <A>(property: fc.IAsyncProperty<A>, cases = 50): Promise<void> => {
  const numRuns = Math.min(cases, Number(process.env.LATENTGRAPH_CASES ?? cases))
  const details = await fc.check(property, { seed, numRuns })
  if (!details.failed) return
  const { currentTestName, testPath } = expect.getState()
  const file = testPath?.slice(testPath.indexOf('test/'))
  const name = currentTestName?.replaceAll(' > ', ' ')
  throw new Error(
    `${await fc.asyncDefaultReportMessage(details)}\n\nreplay: LATENTGRAPH_SEED=${seed} npx vitest run ${file} -t '${name}'`,
    { cause: details.errorInstance },
  )
}
