import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import tiny from '../../graphs/tiny.json' with { type: 'json' }
import { differencesOf } from '../../src/run/compared.ts'
import { comparedCharts } from '../../src/train/report/compare.ts'
import { running } from '../command-line.ts'

test('fields that are not the same in all runs stand beside each other, wherever they are', () => {
  const a = { name: 'a', seed: 1, data: { kind: 'shapes', size: 16 }, list: [1, 2] }
  const b = { name: 'b', seed: 1, data: { kind: 'folder', size: 16, path: 'p' }, list: [1, 3] }
  expect(differencesOf([a, b, a])).toEqual([
    { pointer: '/data/kind', values: ['shapes', 'folder', 'shapes'] },
    { pointer: '/data/path', values: ['-', 'p', '-'] },
    { pointer: '/list/1', values: ['2', '3', '2'] },
  ])
  expect(differencesOf([a, { ...a, name: 'c' }])).toEqual([])
})

const line = (step: number, loss: number) => ({ step, loss })
test('a metric is one chart, with a curve for each run that has it', () => {
  const run = (dir: string, metrics: readonly ReturnType<typeof line>[]) => ({
    ...{ dir, figures: [] },
    metrics: [{ stage: 'diffusion', metrics: [...metrics, { step: metrics.length + 1, loss: 0.5, 'val/psnr': 20 }] }],
  })
  const charts = comparedCharts([run('a', [line(1, 3), line(2, 2)]), run('b', [line(1, 4)]), run('c', [])])
  expect(charts.map(({ title, series }) => [title, series.map(({ name, colour }) => `${name}${colour}`)])).toEqual([
    ['diffusion: loss, trained on', ['a0', 'b1']],
    ['diffusion: psnr, held out', ['a0', 'b1', 'c2']],
  ])
})

test('runs are compared as they are by now, without drawing; a folder that holds none is refused', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'latentgraph-compare-'))
  try {
    const runs = [join(folder, 'a'), join(folder, 'b')]
    for (const [i, dir] of runs.entries()) {
      await mkdir(join(dir, 'first-stage'), { recursive: true })
      await writeFile(join(dir, 'experiment.json'), JSON.stringify({ ...tiny, seed: i }))
      const lines = [line(1, 8), line(2, 4 - i)].map((l) => `${JSON.stringify(l)}\n`)
      await writeFile(join(dir, 'first-stage/metrics.jsonl'), lines.join(''))
    }
    const out = join(folder, 'compare.html')
    const compared = await running('compare', ...runs, '--no-samples', '--out', out)
    expect(compared.code, compared.err).toBe(0)
    expect(compared.out).toMatch(/^differ in +\S.*a +\S.*b\n\/seed +0 +1\n\nlast/)
    expect(compared.out).toMatch(/first-stage: loss +4 +3\n/)
    const html = await readFile(out, 'utf8')
    expect(html).toContain('first-stage: loss, trained on, over step')
    expect(html).not.toMatch(/undefined|\bNaN\b|(src|href)="(?!data:)/)
    expect((await running('compare', runs[0] ?? '')).err).toContain('two runs at least')
    expect((await running('compare', runs[0] ?? '', folder)).code).toBe(2)
  } finally {
    await rm(folder, { recursive: true })
  }
})
