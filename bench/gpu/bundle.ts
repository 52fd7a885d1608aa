import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { showErrors } from '../../src/error.ts'
import { sources, unpacked } from '../../src/execute/tensorflow/build.ts'
import { optionalParts } from '../../src/optional.ts'
import { E, t } from '../../src/prelude.ts'

/** Packs what an offline machine must be given: Node, our build, what it needs of node_modules and of the addon's sources, fixtures, the peers. */

const most = 60 * 2 ** 20
/** Not needed where XLA computes and no report is looked at: ONNX Runtime has 280 MB. */
const without = new Set(['onnxruntime-node', 'onnxruntime-common'])
const Package = t.partial({
  dependencies: t.record(t.string, t.string),
  optionalDependencies: t.record(t.string, t.string),
})

/** What is imported there: our dependencies, and of optional parts what reads pictures, calls plugins and makes up cases. */
export const needed = (own: unknown): readonly string[] =>
  [
    ...Object.keys((Package.is(own) && own.dependencies) || {}),
    ...optionalParts.pictures.packages,
    'koffi',
    'fast-check',
  ].filter((name) => !without.has(name))

/** A package and all that it needs, as they lie in node_modules. */
const closure = async (root: string, names: readonly string[]): Promise<readonly string[]> => {
  const found = new Set<string>()
  const visit = async (name: string): Promise<void> => {
    const folder = join(root, 'node_modules', name)
    if (found.has(name) || without.has(name) || !existsSync(folder)) return
    found.add(name)
    const own: unknown = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'))
    if (!Package.is(own)) return
    for (const other of Object.keys({ ...own.dependencies, ...own.optionalDependencies })) await visit(other)
  }
  for (const name of names) await visit(name)
  return [...found]
}

/** What nobody reads there; licences go along. */
const isSource = (path: string): boolean =>
  /\.(d\.[cm]?ts|map|md)$/.test(path) && !/licen[cs]e|notice/i.test(basename(path))

/** Writes the archive, and says what it has. */
export const bundle = async (root: string, file: string): Promise<string> => {
  const work = await mkdtemp(join(tmpdir(), 'latentgraph-bundle-'))
  try {
    const to = join(work, 'latentgraph')
    const put = (from: string, at: string): Promise<void> =>
      cp(from, join(to, at), { recursive: true, dereference: true, filter: (path) => !isSource(path) })
    await mkdir(to)
    const own: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
    const needs = await closure(root, needed(own))
    await put(process.execPath, 'node')
    for (const path of ['package.json', 'dist/src', 'dist/bench', 'dist/test', 'bench', 'graphs', 'vocabularies'])
      await put(join(root, path), path)
    for (const name of needs) await put(join(root, 'node_modules', name), join('node_modules', name))
    for (const source of sources) {
      const folder = await unpacked(source)()
      if (E.isLeft(folder)) throw new Error(showErrors(folder.left))
      for (const path of ['package.json', source.holds])
        await put(join(folder.right, path), join('node_modules', source.name, path))
    }
    const fixtures = ['fixtures', '../shared/fixtures', 'test/golden/fixtures']
      .map((p) => join(root, p))
      .find(existsSync)
    if (fixtures !== undefined)
      for (const area of ['README.md', 'index.json', 'attention', 'unet', 'training'])
        if (existsSync(join(fixtures, area))) await put(join(fixtures, area), join('fixtures', area))
    await promisify(execFile)('tar', ['-C', work, '-cf', file, '--use-compress-program=xz -T0 -3', 'latentgraph'], {
      maxBuffer: 2 ** 26,
    })
    const { size } = await stat(file)
    if (size > most) throw new Error(`${file} has ${size} bytes, more than ${most}`)
    return `${file}: ${(size / 2 ** 20).toFixed(1)} MiB, Node ${process.version} and ${needs.length} packages. There: tar -xJf ${file} && latentgraph/bench/gpu.sh`
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}
