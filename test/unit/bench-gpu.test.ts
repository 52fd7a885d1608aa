import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { needed } from '../../bench/gpu/bundle.ts'
import { measurements, resultOf, type Setting, setups, usable } from '../../bench/gpu/parts.ts'
import { summary } from '../../bench/gpu/summary.ts'

const setting: Setting = {
  ...{ node: 'node', root: '/root', fixtures: '/fixtures', out: '/out', python: 'python3', jax: 'python3' },
  ...{ packages: undefined, plugin: undefined, tensorflow: undefined, small: false, device: 'cuda' },
}
const namesOf = (of: Setting, executors: readonly string[]): readonly string[] =>
  measurements(of, executors).map(({ name }) => name)

test('accelerators are asked, the fastest first; without one what stands in for them', () => {
  const says = (...rows: readonly string[]): string => rows.map((row) => `  ${row}\n`).join('')
  const cpu = ['onnx:cpu       usable', 'xla:cpu        usable: PJRT', 'tfjs:node      usable: TensorFlow'] as const
  expect(usable(says(...cpu, 'onnx:webgpu    usable, with float16', 'xla:cuda       usable: PJRT'))).toEqual([
    'xla:cuda',
    'onnx:webgpu',
  ])
  expect(usable(says(...cpu, 'xla:cuda       not usable: no driver'))).toEqual(['xla:cpu', 'tfjs:node'])
  expect(usable(says('xla            no PJRT plugin was named'))).toEqual([])
})

test('parts are of what there is', () => {
  expect(setups(setting).map(({ name }) => name)).toEqual(['machine', 'pictures', 'doctor'])
  expect(setups({ ...setting, plugin: '/p.so', tensorflow: '/tf' }).map(({ name }) => name)).toEqual(
    expect.arrayContaining(['setup-xla', 'setup-tensorflow']),
  )
  const onCard = namesOf(setting, ['xla:cuda', 'onnx:webgpu'])
  expect(onCard.slice(0, 2)).toEqual(['laws-xla:cuda', 'bench-xla:cuda-gpu-unet-train-eager'])
  expect(onCard).toContain('memory-xla:cuda')
  expect(onCard).not.toContain('memory-onnx:webgpu')
  const isSlowOnCpu = (name: string): boolean => /-(compiled|(jax_)?bfloat16)$/.test(name)
  expect(onCard.filter(isSlowOnCpu)).not.toEqual([])
  expect(namesOf({ ...setting, small: true }, ['xla:cpu']).filter(isSlowOnCpu)).toEqual([])
  expect(new Set(onCard).size).toBe(onCard.length)
  const run = measurements(setting, ['xla:cuda']).filter(({ name }) => /^(training|memory)-/.test(name))
  expect(run.map(({ command }) => command.some((word) => word.includes('"path":"/out/pictures"')))).toEqual([
    true,
    true,
  ])
})

test('what parts found stands in tables', async () => {
  const out = mkdtempSync(join(tmpdir(), 'latentgraph-bench-gpu-'))
  try {
    const [laws, eager, jax] = ['laws-xla:cpu', 'bench-a', 'bench-b'].map((name) => ({
      ...{ name, seconds: 1, command: [] },
      ...(name === 'laws-xla:cpu' ? { tells: /passed,/ } : {}),
    }))
    if (laws === undefined || eager === undefined || jax === undefined) throw new Error('no parts')
    const row = (ms: number, peers: object, ratio: number | null, absent = {}) => ({
      rows: [{ work: 'w', executor: 'xla:cpu', precision: 'float32', ours: { ms, peakMiB: 1 }, peers, ratio, absent }],
    })
    const written = (name: string, content: object): void => writeFileSync(resultOf(out, name), JSON.stringify(content))
    written('bench-a', row(10, { eager: { ms: 20, peakMiB: 1 } }, 0.5))
    written('bench-b', row(9, { jax: { ms: 7.5, peakMiB: 1 } }, 1.2, { compiled: 'no compiler' }))
    const logOf = ({ name }: { readonly name: string }): string => join(out, `${name.replace(':', '-')}.txt`)
    writeFileSync(logOf(laws), 'xla:cpu: 3 passed, 0 failed\nends\n')
    writeFileSync(logOf(eager), 'one\ntwo | three\n\n')
    const text = await summary(out, [laws, eager, jax], { 'laws-xla:cpu': { status: 'done', seconds: 3 } }, logOf)
    const cells = ['xla:cpu', 'w', 'float32', '9.0', '20.0', '-', '-', '7.5', '-', '-', '1.20']
    expect(text).toContain(`| ${cells.join(' | ')} |`)
    for (const line of [
      '- no compiled of w: no compiler',
      '| laws-xla:cpu | done | 3 | xla:cpu: 3 passed, 0 failed |',
      '| bench-a | not begun | 0 | two / three |',
      '| bench-b | not begun | 0 |  |',
    ])
      expect(text).toContain(line)
  } finally {
    rmSync(out, { recursive: true })
  }
})

/** What programs import before they run, and all that imports on its part; packages by name. */
const importedBy = (programs: readonly string[]): ReadonlySet<string> => {
  const [files, packages] = [new Set<string>(), new Set<string>()]
  const visit = (file: string): void => {
    if (files.has(file)) return
    files.add(file)
    const text = readFileSync(file, 'utf8')
    for (const [, name = ''] of text.matchAll(/^(?:import|export) (?!type )(?:[^'"]*? from )?'([^']+)'/gm))
      if (name.startsWith('.')) visit(resolve(file, '..', name))
      else if (!name.startsWith('node:')) packages.add(name.split('/', name.startsWith('@') ? 2 : 1).join('/'))
  }
  for (const program of programs) visit(resolve(program))
  return packages
}

test('a bundle has the packages that its programs import, and what reads pictures', () => {
  const programs = ['about', 'laws', 'main', 'training'].map((name) => `bench/gpu/${name}.ts`)
  const imported = importedBy([...programs, 'bench/main.ts', 'bench/ours.ts', 'src/cli/main.ts'])
  expect(imported).toContain('fp-ts')
  expect(needed(JSON.parse(readFileSync('package.json', 'utf8')))).toEqual(
    expect.arrayContaining([...imported, 'sharp', 'koffi']),
  )
})
