import { execFile } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { files as figureFiles, plot } from './figures.ts'
import { programs, promised, root } from './programs.ts'

/** Every block of TypeScript in README and docs compiles and runs as it is printed, and prints what it says. */

/** Below the root, so that imports are found; a working folder with what readers have beside them. */
const folder = join(root, `dist/documents-${process.pid}`)
const work = join(folder, 'work')
const files = programs.map((program) => ({
  ...program,
  file: join(folder, `${program.page.replaceAll('/', '.')}.${program.line}.ts`),
}))

beforeAll(() => {
  mkdirSync(work, { recursive: true })
  for (const beside of ['packages', 'graphs', 'examples']) symlinkSync(join(root, beside), join(work, beside))
  for (const { file, text } of files) writeFileSync(file, text)
  const paths = Object.entries({
    latentgraph: 'index',
    'latentgraph/laws': 'laws/index',
    'latentgraph/browser': 'browser',
  })
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: {
      paths: Object.fromEntries(paths.map(([name, entry]) => [name, [`../src/${entry}.d.ts`]])),
      noUnusedLocals: false,
    },
    files: files.map(({ file }) => file),
    include: [],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Ran {
  readonly printed: readonly string[]
  readonly exported: Readonly<Record<string, unknown>>
}
const ran = async (file: string): Promise<Ran> => {
  const lines: string[] = []
  const spy = vi.spyOn(console, 'log').mockImplementation((...words: readonly unknown[]) => {
    lines.push(...format(...words).split('\n'))
  })
  const before = process.cwd()
  process.chdir(work)
  try {
    const exported: Readonly<Record<string, unknown>> = await import(file)
    return { printed: lines, exported }
  } finally {
    process.chdir(before)
    spy.mockRestore()
  }
}

/** Plots of what a chapter exports and the pictures that it writes: made anew where FIGURES=1, else only missed. */
const pictures = join(root, 'docs/guide/pictures')
const lacking = async ({ exported }: Ran): Promise<readonly string[]> => {
  const plots = Object.keys(exported).map((name) => ({ name, file: `${figureFiles[name] ?? name}.svg` }))
  const written = readdirSync(work).filter((file) => file.endsWith('.png'))
  if (process.env.FIGURES === '1') {
    for (const { name, file } of plots) writeFileSync(join(pictures, file), await plot(name, exported[name]))
    for (const file of written) copyFileSync(join(work, file), join(pictures, file))
  }
  return [...plots.map(({ file }) => file), ...written].filter((file) => !existsSync(join(pictures, file)))
}

/** What is promised, as far as it was printed in this order. */
const kept = (promises: readonly string[], printed: readonly string[]): readonly string[] => {
  let from = 0
  return promises.map((line) => {
    const at = printed.indexOf(line, from)
    if (at < 0) return `not "${line}" but one of: ${printed.slice(from).join(' | ')}`
    from = at + 1
    return line
  })
}

describe('programs of documents', () => {
  test.each(files)('$page:$line runs', async (program) => {
    const result = await ran(program.file)
    expect(kept(promised(program), result.printed)).toEqual(promised(program))
    if (program.page.startsWith('docs/guide/')) expect(await lacking(result)).toEqual([])
    for (const file of readdirSync(work)) if (file.endsWith('.png')) rmSync(join(work, file))
  })
  test('all compile', async () => {
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const told = await promisify(execFile)(process.execPath, [compiler, '-p', folder], { cwd: root }).then(
      ({ stdout }) => stdout,
      ({ stdout }: { readonly stdout: string }) => stdout,
    )
    expect(told, 'beside the package as it was built last; npm run build makes it anew').toBe('')
  })
})
