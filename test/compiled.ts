import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { compiledHere } from './compiled-sources.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the sources are compiled, as they are now; types are checked elsewhere. */
    readonly compiled: string
  }
}

/** What the tests of a run share, and what goes with it. */
export default ({ provide }: TestProject): (() => Promise<void>) => {
  provide('compiled', compiledHere)
  const compiler = join(import.meta.dirname, '../node_modules/typescript/bin/tsc')
  if (!existsSync(compiledHere)) {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [compiler, '-p', 'tsconfig.build.json', '--noCheck', '--outDir', compiledHere],
      { cwd: join(import.meta.dirname, '..'), encoding: 'utf8' },
    )
    if (status !== 0) throw new Error(`${stdout}${stderr}`)
  }
  return () => rm(compiledHere, { recursive: true, force: true })
}
