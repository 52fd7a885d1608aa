import { type Checked, fail } from '../error.ts'
import { E } from '../prelude.ts'

/** What a look at a device found: whether it can be used, and in a clause what there is or what is missing. */
export interface Found {
  readonly usable: boolean
  readonly what: string
}
/** The same, of the executor of a name. */
export interface Finding extends Found {
  readonly name: string
}
export interface Decision {
  readonly name: string
  /** Why this one, and why not those that would have been better. */
  readonly reason: string
}

/** The first usable of the findings, which stand in order of preference. */
export const decide = (findings: readonly Finding[]): Checked<Decision> => {
  const at = findings.findIndex(({ usable }) => usable)
  const found = findings[at]
  const without = (passed: readonly Finding[], between: string): string =>
    passed.map(({ name, what }) => `${name}: ${what}`).join(between)
  if (found === undefined)
    return fail('compile', 'auto', 'an executor that can run here', without(findings, '; '), 'see: latentgraph doctor')
  return E.right({
    name: found.name,
    reason: at === 0 ? found.what : `${found.what}; not ${without(findings.slice(0, at), ', nor ')}`,
  })
}
