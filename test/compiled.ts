import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { answers } from '../src/io/process.ts'
import { compiledHere } from './compiled-sources.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the sources are compiled, as they are now; types are checked elsewhere. */
    readonly compiled: string
  }
}

/** What a run that was killed left behind. */
const clean = (folder: string): void => {
  const left = existsSync(folder) ? readdirSync(folder) : []
  for (const name of left) {
    const [, pid] = /^e2e-(\d+)$/.exec(name) ?? []
    if (pid !== undefined && !answers(Number(pid))) rmSync(join(folder, name), { recursive: true, force: true })
  }
}

/** What the tests of a run share, and what goes with it. */
export default ({ provide }: TestProject): (() => Promise<void>) => {
  provide('compiled', compiledHere)
  clean(dirname(compiledHere))
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
