import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the first test of a run that needs the compiled command line puts it, for all that follow. */
    readonly compiled: string
  }
}

/** What the tests of a run share, and what goes with it. */
export default ({ provide }: TestProject): (() => Promise<void>) => {
  const compiled = join(import.meta.dirname, '..', 'dist', `e2e-${process.pid}`)
  provide('compiled', compiled)
  return () => rm(compiled, { recursive: true, force: true })
}
