import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type Effect, effect, failure, type LatentError, reasonOf } from '../../error.ts'
import { TE, t } from '../../prelude.ts'
import { environment } from './load.ts'
import { addonFolder, howToGet, packageFolder } from './places.ts'
import { packages } from './ready.ts'

/** Builds the addon of `@tensorflow/tfjs-node`, two files of C++ that the npm package ships, against the TensorFlow of a Python wheel. */

const command = promisify(execFile)
/** A command that has to succeed: what it writes. The last line of what it complains of is why it did not. */
const ran = (program: string, args: readonly string[], why: (reason: string) => LatentError, cwd?: string) =>
  TE.tryCatch(
    async () => (await command(program, [...args], { cwd, maxBuffer: 2 ** 26 })).stdout,
    (e): readonly [LatentError] => {
      const said: unknown = typeof e === 'object' && e !== null ? Reflect.get(e, 'stderr') : undefined
      const lines = (typeof said === 'string' ? said : '').split('\n').filter((line) => /error/i.test(line))
      return [why(lines.find((line) => line.trim() !== '') ?? reasonOf(e).split('\n')[0] ?? '')]
    },
  )
const works = (program: string, args: readonly string[]): Promise<boolean> =>
  command(program, [...args]).then(
    () => true,
    () => false,
  )
const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
const firstOf = async <A>(all: readonly A[], is: (x: A) => Promise<boolean>): Promise<A | undefined> => {
  for (const x of all) if (await is(x)) return x
  return undefined
}
const missing = (at: string, expected: string, got: string, hint: string): Effect<never> =>
  TE.left([failure('file', at, expected, got, hint)])

const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] as const
const header = join('include', 'tensorflow', 'c', 'eager', 'c_api.h')

/** The folder `tensorflow` of a virtual environment, of a folder of packages, or itself. Errors: `file`. */
export const tensorflowIn = (from: string): Effect<string> =>
  effect(async (run) => {
    const folder = resolve(from)
    const pythons = (await readdir(join(folder, 'lib')).catch((): string[] => [])).filter((n) => n.startsWith('python'))
    const places = [
      folder,
      join(folder, 'tensorflow'),
      ...pythons.sort().map((n) => join(folder, 'lib', n, 'site-packages', 'tensorflow')),
    ]
    const found = await firstOf(places, (place) => exists(join(place, header)))
    if (found === undefined)
      return run(missing(from, 'a virtual environment or a folder of packages with TensorFlow', 'none there', howToGet))
    for (const name of libraries)
      if (!(await exists(join(found, name))))
        await run(missing(found, `TensorFlow with ${name}, as its wheels for Linux have it`, 'no such file', howToGet))
    return found
  })

/** What the addon is built of: a package of npm, and the folder of it that is needed. */
export interface Source {
  readonly name: string
  readonly version: string
  readonly holds: string
}
const binding: Source = { name: packages.node, version: '4.22.0', holds: 'binding' }
const nodeHeaders: Source = { name: 'node-api-headers', version: '1.9.0', holds: 'include' }
export const sources: readonly Source[] = [binding, nodeHeaders]

/** Without a network npm would try for minutes. */
const once = ['--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=1000']
/** A package of npm, unpacked, from beside us or from the registry: its scripts do not run. Errors: `file`, one that cannot be fetched. */
export const unpacked = ({ name, version, holds }: Source): Effect<string> =>
  effect(async (run) => {
    const beside = packageFolder(name)
    const kept = join(addonFolder(), 'packages', `${name.replaceAll(/[@/]/g, '-')}-${version}`)
    const found = await firstOf([...(beside === undefined ? [] : [beside]), kept], (p) => exists(join(p, holds)))
    if (found !== undefined) return found
    const work = await mkdtemp(join(tmpdir(), 'latentgraph-tensorflow-'))
    try {
      const refused = (reason: string): LatentError =>
        failure(
          'file',
          `${name}@${version}`,
          'a package that npm can fetch',
          reason,
          `with a network; or npm install --ignore-scripts --save-dev ${name}@${version}`,
        )
      await run(ran('npm', ['pack', '--loglevel=error', ...once, `${name}@${version}`], refused, work))
      const [archive = ''] = await readdir(work)
      await run(ran('tar', ['-xzf', archive], refused, work))
      await mkdir(dirname(kept), { recursive: true })
      await rm(kept, { recursive: true, force: true })
      await rename(join(work, 'package'), kept).catch(async () => {
        await run(ran('cp', ['-r', join(work, 'package'), kept], refused))
      })
      return kept
    } finally {
      await rm(work, { recursive: true, force: true })
    }
  })

/** Node's headers: beside the program, the system's, or of a package. */
const headers: Effect<string> = effect(async (run) => {
  const places = [
    join(dirname(process.execPath), '..', 'include', 'node'),
    '/usr/include/node',
    '/usr/include/nodejs/src',
  ]
  const found = await firstOf(places, (place) => exists(join(place, 'node_api.h')))
  return found ?? join(await run(unpacked(nodeHeaders)), nodeHeaders.holds)
})

type Compiler = readonly [program: string, ...first: readonly string[]]
/** The first compiler of C++ that runs: the user's, the system's, or zig's of a Python. */
const compiler = (tensorflow: string): Effect<Compiler> =>
  effect(async (run) => {
    const { CXX } = process.env
    const python = join(dirname(tensorflow), '..', '..', '..', 'bin', 'python')
    const zig = [python, 'python3'].map((p): Compiler => [p, '-m', 'ziglang', 'c++'])
    const all: readonly Compiler[] = [...(CXX === undefined ? [] : [CXX]), 'c++', 'g++', 'clang++']
      .map((name): Compiler => [name])
      .concat(zig)
    const found = await firstOf(all, ([program, ...args]) => works(program, [...args, '--version']))
    return (
      found ??
      run(
        missing(
          'c++',
          'a compiler of C++',
          'none of c++, g++, clang++, nor zig',
          'apt-get install g++, or pip install ziglang',
        ),
      )
    )
  })

const Loaded = t.type({ version: t.string, gpu: t.boolean })
export interface Built extends t.TypeOf<typeof Loaded> {
  /** The addon. */
  readonly path: string
  /** The folder whose libraries it loads. */
  readonly library: string
}

/** Loads an addon in a process of its own, which may die of it. */
const tried = (path: string, library: string): Effect<Omit<Built, 'path' | 'library'>> =>
  effect(async (run) => {
    const script = `const a = require(${JSON.stringify(path)}); console.log(JSON.stringify({ version: a.TF_Version, gpu: a.isUsingGpuDevice() })); process.exit(0)`
    const refused = (reason: string): LatentError =>
      failure('compile', path, `an addon that loads beside ${library}`, reason)
    return run(
      TE.tryCatch(
        async () => {
          const { stdout } = await command(process.execPath, ['-e', script], {
            env: { ...environment(1), ...process.env },
          })
          const told: unknown = JSON.parse(stdout.split('\n').findLast((line) => line.startsWith('{')) ?? 'null')
          if (!Loaded.is(told)) throw new Error('it does not say what it loaded')
          return told
        },
        (e): readonly [LatentError] => [
          refused(
            reasonOf(e)
              .split('\n')
              .find((line) => line.includes('Error:')) ??
              reasonOf(e).split('\n')[0] ??
              '',
          ),
        ],
      ),
    )
  })

/**
 * Builds the addon against the TensorFlow that a folder has, into a folder of ours, and loads it once in a process of its own. Errors:
 * `file` for what is missing, `compile` for an addon that does not build or load.
 */
export const build = (from: string): Effect<Built> =>
  effect(async (run) => {
    if (process.platform !== 'linux')
      await run(missing('tensorflow', 'Linux, where this was tried', process.platform, 'take onnx:webgpu or xla'))
    const library = await run(tensorflowIn(from))
    const [program, ...first] = await run(compiler(library))
    const source = join(await run(unpacked(binding)), binding.holds)
    const include = await run(headers)
    const key = createHash('sha256').update(`${library}\n${await readFile(join(source, 'tfjs_backend.cc'), 'utf8')}`)
    const folder = join(addonFolder(), key.digest('hex').slice(0, 16))
    const made = join(folder, `tfjs_binding.${process.pid}.node`)
    const path = join(folder, 'tfjs_binding.node')
    await mkdir(folder, { recursive: true })
    const flags = ['-std=c++17', '-O2', '-fPIC', '-shared', '-w', '-DNAPI_VERSION=8']
    const args = [
      ...[...first, ...flags, '-I', include, '-I', join(library, 'include')],
      ...[join(source, 'tfjs_backend.cc'), join(source, 'tfjs_binding.cc'), '-o', made],
      ...['-L', library, ...libraries.map((name) => `-l:${name}`), `-Wl,-rpath,${library}`],
    ]
    const refused = (reason: string): LatentError =>
      failure(
        'compile',
        'the addon of tfjs-node',
        `C++ that ${[program, ...first].join(' ')} compiles against ${library}`,
        reason,
      )
    await run(ran(program, args, refused))
    await rename(made, path)
    return { path, library, ...(await run(tried(path, library))) }
  })
