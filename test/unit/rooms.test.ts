import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, relative, sep } from 'node:path'
import { describe, expect, test } from 'vitest'

/** DESIGN section 2: imports point only upward in this list. */
const rooms = [
  ...[
    'prelude',
    'error',
    'optional',
    'package',
    'schema',
    'graph',
    'declare',
    'transform',
    'execute',
    'nn',
    'distributions',
    'schedulers',
  ],
  ...[
    'losses',
    'metrics',
    'diffusion',
    'samplers',
    'optimizers',
    'io',
    'data',
    'text',
    'published',
    'adapters',
    'adapters',
    'experiment',
    'train',
    'pipelines',
    'run',
    'laws',
    'conformance',
  ],
  ...['serve', 'cli', 'demo'],
]
/** What the package exports, made of all rooms. */
const entries = ['index.ts', 'browser.ts']
const root = join(import.meta.dirname, '../../src')

interface Source {
  /** Relative to src, with forward slashes. */
  readonly path: string
  readonly text: string
  readonly imports: readonly string[]
}
const importsOf = (text: string): readonly string[] =>
  [...text.matchAll(/^\s*(?:import|export)\b[^'"]*?\bfrom\s*['"]([^'"]+)['"]/gm)]
    .concat([...text.matchAll(/\bimport\s*\(?\s*['"]([^'"]+)['"]/g)])
    .flatMap(([, specifier]) => specifier ?? [])
const source = (path: string, text: string): Source => ({ path, text, imports: importsOf(text) })
const sources: readonly Source[] = readdirSync(root, { recursive: true, withFileTypes: true })
  .filter((f) => f.isFile() && /\.[jt]s$/.test(f.name))
  .map((f) => join(f.parentPath, f.name))
  .map((file) => source(relative(root, file).split(sep).join('/'), readFileSync(file, 'utf8')))

const roomOf = (path: string): string => path.split('/')[0]?.replace(/\.[jt]s$/, '') ?? ''
/** The files of src that a file imports. */
const targets = ({ path, imports }: Source): readonly string[] =>
  imports.filter((i) => i.startsWith('.')).map((i) => posix.join(posix.dirname(path), i))

const strangers = (all: readonly Source[]): readonly string[] =>
  all.flatMap(({ path }) => (entries.includes(path) || rooms.includes(roomOf(path)) ? [] : [path]))
const downward = (all: readonly Source[]): readonly string[] =>
  all
    .filter(({ path }) => !entries.includes(path))
    .flatMap((s) =>
      targets(s)
        .filter((t) => entries.includes(t) || rooms.indexOf(roomOf(t)) > rooms.indexOf(roomOf(s.path)))
        .map((t) => `${s.path} -> ${t}`),
    )
const dangling = (all: readonly Source[]): readonly string[] => {
  const known = new Set(all.map(({ path }) => path))
  return all.flatMap((s) =>
    targets(s)
      .filter((t) => !known.has(t))
      .map((t) => `${s.path} -> ${t}`),
  )
}
/** Files on a cycle or behind one: what is left once files without open imports are taken away again and again. */
const knotted = (all: readonly Source[]): readonly string[] => {
  const known = new Set(all.map(({ path }) => path))
  const open = new Map(all.map((s) => [s.path, targets(s).filter((t) => known.has(t))]))
  let size: number
  do {
    size = open.size
    for (const [path, needs] of open) if (needs.every((t) => !open.has(t))) open.delete(path)
  } while (open.size < size)
  return [...open.keys()]
}
const effectful = (all: readonly Source[]): readonly string[] =>
  all.flatMap(({ path, imports }) =>
    path !== 'prelude.ts' && imports.some((i) => /^(fp-ts|io-ts)(\/|$)/.test(i)) ? [path] : [],
  )
/** A long file says at its top why it is long: a comment with the word "lines". */
const long = (all: readonly Source[]): readonly string[] =>
  all.flatMap(({ path, text }) => {
    const lines = text.trimEnd().split('\n')
    const reason = lines.slice(0, 20).some((l) => /^\s*(\/\/|\/?\*).*\blines\b/.test(l))
    return lines.length > 400 && !reason ? [`${path}: ${lines.length}`] : []
  })
/** Packages that run in a browser as they are; those that compute are loaded by the program. */
const portable = [
  ...['fp-ts', 'io-ts', 'fastest-levenshtein', '@noble/hashes', 'protobufjs', '@huggingface/tokenizers', 'entities'],
]
/** What the page that has no server draws by. */
const drawing = ['run/own.ts', 'run/handle.ts', 'serve/static.ts', 'serve/drawing.ts', 'serve/coder.ts']
/** Without comments, and without imports of types alone. */
const running = (text: string): string =>
  text
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/^\s*(?:import|export) type [^;]*?from\s*['"][^'"]+['"]/gm, '')
    .replaceAll(/typeof import\([^)]*\)/g, '')
/** What files that a browser loads name beyond it: modules of Node, packages for Node, Node's globals. */
const beyondBrowsers = (all: readonly Source[], from: string): readonly string[] => {
  const loaded = all.map(({ path, text }) => source(path, running(text)))
  const files = new Map(loaded.map((s) => [s.path, s]))
  const reached = new Set([from])
  for (const path of reached) {
    const file = files.get(path)
    if (file !== undefined) for (const t of targets(file)) reached.add(t)
  }
  return loaded
    .filter(({ path }) => reached.has(path))
    .flatMap(({ path, text, imports }) => [
      ...imports
        .filter((i) => !i.startsWith('.') && !portable.some((p) => i === p || i.startsWith(`${p}/`)))
        .map((i) => `${path} -> ${i}`),
      // A process of diffusion has other members than Node's.
      ...[
        ...text.matchAll(/(?<![\w.'`/])(Buffer|setImmediate|__dirname|process(?=\.(?!path|schedule|right)))[.(]/g),
      ].map(([, g]) => `${path}: ${g}`),
    ])
}
/** Who loads ONNX Runtime's package otherwise than through the file that switches its telemetry off first. */
const telling = (all: readonly Source[]): readonly string[] =>
  all.flatMap(({ path, text }) =>
    path !== 'execute/onnx/package.js' && importsOf(running(text)).includes('onnxruntime-node') ? [path] : [],
  )
const evasions = /@ts-(ignore|nocheck|expect-error)|biome-ignore|eslint-disable|\bas (any|never|unknown as)\b|<any>/
const silenced = (all: readonly Source[]): readonly string[] =>
  all.flatMap(({ path, text }) => (evasions.test(text) ? [path] : []))

describe('src', () => {
  test('has sources', () => expect(sources.length).toBeGreaterThan(20))
  test('every file stands in a room of DESIGN section 2', () => expect(strangers(sources)).toEqual([]))
  test('imports point only upward', () => expect(downward(sources)).toEqual([]))
  test('imports name files that exist', () => expect(dangling(sources)).toEqual([]))
  test('imports are acyclic', () => expect(knotted(sources)).toEqual([]))
  test('only the prelude imports fp-ts and io-ts', () => expect(effectful(sources)).toEqual([]))
  test("one file loads ONNX Runtime's package", () => expect(telling(sources)).toEqual([]))
  test('no file is longer than 400 lines without a reason at its top', () => expect(long(sources)).toEqual([]))
  test('a browser can load browser.ts', () => expect(beyondBrowsers(sources, 'browser.ts')).toEqual([]))
  test.each(drawing)('a browser can load %s', (file) => expect(beyondBrowsers(sources, file)).toEqual([]))
  test('the compiler is not silenced', () => expect(silenced(sources)).toEqual([]))
})

test('tests that cannot run here are skipped in one way, which runs nothing of theirs and says why', () => {
  const tests = readdirSync(join(root, '../test'), { recursive: true, encoding: 'utf8' }).filter((f) =>
    f.endsWith('.test.ts'),
  )
  const otherwise = /\b(describe|test|it)\.(runIf|skipIf|skip|todo)\(/
  expect(tests.filter((f) => otherwise.test(readFileSync(join(root, '../test', f), 'utf8')))).toEqual([])
})

describe('the rules see what they forbid', () => {
  const a = source('graph/a.ts', "import { b } from './b.ts'\n")
  const b = source('graph/b.ts', "import type {\n  X,\n} from './a.ts'\n")
  test.each<readonly [string, readonly string[], readonly string[]]>([
    ['strangers', strangers([source('utils/x.ts', '')]), ['utils/x.ts']],
    [
      'imports downward, also of types, also several lines long, also dynamic',
      downward([
        source('graph/a.ts', "import {\n  x,\n} from '../nn/x.ts'\nexport type { Y } from '../declare/y.ts'\n"),
        source('io/b.ts', "const z = await import('../train/z.ts')\nimport '../cli/w.ts'\n"),
        source('nn/c.ts', "import { ok } from '../graph/a.ts'\nimport { all } from '../index.ts'\n"),
      ]),
      [
        'graph/a.ts -> nn/x.ts',
        'graph/a.ts -> declare/y.ts',
        'io/b.ts -> train/z.ts',
        'io/b.ts -> cli/w.ts',
        'nn/c.ts -> index.ts',
      ],
    ],
    ['dangling imports', dangling([a]), ['graph/a.ts -> graph/b.ts']],
    ['cycles', knotted([a, b, source('graph/free.ts', '')]), ['graph/a.ts', 'graph/b.ts']],
    [
      'what only Node has, wherever it is reached, but not types of it',
      beyondBrowsers(
        [
          source('browser.ts', "export { x } from './graph/x.ts'\nimport type { Y } from 'sharp'\n"),
          source('graph/x.ts', "import { readFile } from 'node:fs/promises'\nBuffer.from('')\nimport('sharp')\n"),
          source('graph/other.ts', "import 'node:os'\n"),
        ],
        'browser.ts',
      ),
      ['graph/x.ts -> node:fs/promises', 'graph/x.ts -> sharp', 'graph/x.ts: Buffer'],
    ],
    ['fp-ts', effectful([source('graph/a.ts', "import { either } from 'fp-ts'\n")]), ['graph/a.ts']],
    [
      "loading ONNX Runtime's package, but not its types",
      telling([
        source('io/a.ts', "import type { Tensor } from 'onnxruntime-node'\n"),
        source('io/b.ts', "const { Tensor } = await import('onnxruntime-node')\n"),
      ]),
      ['io/b.ts'],
    ],
    ['long files', long([source('graph/a.ts', 'x\n'.repeat(401))]), ['graph/a.ts: 401']],
    ['long files with a reason', long([source('graph/a.ts', `// a table: 401 lines\n${'x\n'.repeat(400)}`)]), []],
    ['silenced checks', silenced([source('graph/a.ts', '// @ts-ignore\n')]), ['graph/a.ts']],
  ])('%s', (_, found, expected) => expect(found).toEqual(expected))
})
