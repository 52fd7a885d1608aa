import { expect, test } from 'vitest'
import { reference } from '../../src/execute/reference/index.ts'
import type { Law } from '../../src/laws/law.ts'
import { seed } from '../arbitrary/check.ts'

/** One test a law, on the executable specification. */
export const holdAll = (laws: readonly Law[]): void =>
  test.each(laws.map((l) => [l.name, l] as const))('%s', async (_, l) => {
    const { holds, counterexample } = await l.check(reference, { seed })()
    expect({ holds, counterexample }).toEqual({ holds: true, counterexample: undefined })
  })
