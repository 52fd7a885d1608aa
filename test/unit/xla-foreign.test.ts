import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { faultOfTable, loadFrom } from '../../src/execute/xla/plugin.ts'
import { E } from '../../src/prelude.ts'
import { skipped } from '../arbitrary/executors.ts'
import { running } from '../command-line.ts'
import { zip } from './torch-pickles.ts'

const folder = mkdtempSync(join(tmpdir(), 'latentgraph-foreign-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A library that every process on Linux has. */
const systemLibrary = (): string => {
  const report = process.report.getReport()
  const objects = 'sharedObjects' in report && Array.isArray(report.sharedObjects) ? report.sharedObjects : []
  const found = objects.find((path): path is string => typeof path === 'string' && /libm[.-]/.test(path))
  if (found === undefined) throw new Error('a process without libm')
  return found
}
const written = (name: string, bytes: Uint8Array): string => {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}
test('a table of functions of another version, or of fewer functions, is not called', () => {
  expect(faultOfTable({ bytes: 984, major: 0, minor: 81 })).toBeUndefined()
  expect(faultOfTable({ bytes: 4000, major: 0, minor: 200 })).toBeUndefined()
  for (const head of [
    { bytes: 984, major: 0, minor: 80 },
    { bytes: 976, major: 0, minor: 81 },
    { bytes: 984, major: 1, minor: 90 },
  ])
    expect(faultOfTable(head)).toBe(`PJRT ${head.major}.${head.minor}, ${head.bytes} bytes of functions`)
})
const bytesOf = (beginning: string): Uint8Array => Buffer.concat([Buffer.from(beginning, 'hex')], 4096)
const refused = () => {
  test.each([
    ['missing', () => join(folder, 'nowhere.so'), /ENOENT/],
    ['a foreign library', systemLibrary, /GetPjrtApi/],
    ['a folder', () => folder, /no file/],
    ['empty', () => written('empty.so', new Uint8Array()), /0 bytes that are no ELF file/],
    ['of macOS', () => written('mac.so', bytesOf('cffaedfe0c000001')), /^a library for macOS$/],
    ['of Windows', () => written('windows.so', bytesOf('4d5a9000')), /^a library for Windows$/],
    ['a text', () => written('text.so', Buffer.from(`${'import os\n'.repeat(20)}`)), /no ELF file/],
    [
      'for another processor',
      () => {
        const bytes = readFileSync(systemLibrary())
        bytes.writeUInt16LE(process.arch === 'arm64' ? 62 : 183, 18)
        return written('other.so', bytes)
      },
      process.arch === 'arm64' ? /x86-64/ : /AArch64/,
    ],
    [
      'of which sections say nothing, cut short',
      () => {
        const bytes = readFileSync(systemLibrary())
        bytes.fill(0, 40, 48).fill(0, 58, 64)
        return written('bare.so', bytes.subarray(0, 5000))
      },
      /cut short/,
    ],
    ['cut short', () => written('libpjrt_cpu.so', readFileSync(systemLibrary()).subarray(0, 5000)), /cut short/],
  ] as const)('%s', async (_, path, got) => {
    const loaded = await loadFrom({ path: path() })()
    if (E.isRight(loaded)) throw new Error('it was loaded')
    expect(loaded.left[0]).toMatchObject({ tag: 'compile', at: path() })
    expect(loaded.left[0].got).toMatch(got)
  })
}
const noPlugin = 'a file that is no plugin is an error that names it'
if (process.platform === 'linux') describe(noPlugin, refused)
else skipped(noPlugin, 'its files are Linux’s')

test.each([
  ['macOS', 'jax_plugins/metal_plugin/pjrt_plugin_metal_14.dylib', 'cffaedfe0c000001'],
  ['Windows', 'jax_plugins/xla_cuda12/xla_cuda_plugin.dll', '4d5a9000'],
])(
  'a wheel for %s is told by its name and the plugin in it, and nothing of it is kept',
  async (system, name, magic) => {
    const wheel = written(`${system}.whl`, zip([{ name, data: bytesOf(magic) }]))
    const before = process.env.XDG_DATA_HOME
    process.env.XDG_DATA_HOME = folder
    try {
      const { code, err } = await running('setup', 'xla', '--from', wheel)
      expect(code).toBe(1)
      for (const line of [`${wheel}: ${name}`, `a library for ${system}`]) expect(err).toContain(line)
      expect(existsSync(join(folder, 'latentgraph')) ? readdirSync(join(folder, 'latentgraph')) : []).toEqual([])
    } finally {
      if (before === undefined) delete process.env.XDG_DATA_HOME
      else process.env.XDG_DATA_HOME = before
    }
  },
)

/** A plugin that says of itself what is asked for, and takes no call. */
const toldPlugin = (name: string, { bytes, minor }: { readonly bytes: number; readonly minor: number }): string => {
  const path = join(folder, `${name}.so`)
  const source = written(
    `${name}.c`,
    Buffer.from(`
      #include <stdint.h>
      struct message { uint64_t size; void *next, *error; const char *text; uint64_t length; };
      struct code { uint64_t size; void *next, *error; int32_t code; };
      static const char told[] = "Unexpected PJRT_Plugin_Initialize_Args size: expected 32, got 16.";
      static void destroy(void *given) {}
      static void message(struct message *given) { given->text = told; given->length = sizeof told - 1; }
      static void *code(struct code *given) { given->code = 3; return 0; }
      static void *initialize(void *given) { return (void *)told; }
      static struct { uint64_t size; void *next; uint64_t versionSize; void *versionNext; int32_t major, minor; void *functions[118]; }
        api = { ${bytes}, 0, 24, 0, 0, ${minor}, { destroy, message, code, initialize } };
      void *GetPjrtApi(void) { return &api; }`),
  )
  execFileSync('cc', ['-shared', '-fPIC', '-o', path, source])
  return path
}
const oldPlugins = () => {
  const table = 40 + 8 * 118
  test.each([
    ['of a version before ours', { bytes: table, minor: 54 }, `PJRT 0.54, ${table} bytes of functions`],
    ['with fewer functions', { bytes: table - 8, minor: 90 }, `PJRT 0.90, ${table - 8} bytes of functions`],
    [
      'that wants larger structures',
      { bytes: table, minor: 999 },
      'Unexpected PJRT_Plugin_Initialize_Args size: expected 32, got 16.',
    ],
  ])('%s', async (name, told, got) => {
    const path = toldPlugin(name.replaceAll(' ', '-'), told)
    expect(await loadFrom({ path })()).toMatchObject({
      left: [{ tag: 'compile', at: path, expected: 'a PJRT plugin of version 0.81 or later', got }],
    })
  })
}
const hasCompiler = (): boolean => {
  try {
    execFileSync('cc', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const ofAnotherTime = 'a plugin of another time is an error that names it'
if (process.platform === 'linux' && hasCompiler()) describe(ofAnotherTime, oldPlugins)
else skipped(ofAnotherTime, 'it is made with cc, on Linux')
