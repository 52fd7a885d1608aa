import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { failure } from '../../src/error.ts'
import { E, TE } from '../../src/prelude.ts'
import { liveReport } from '../../src/run/live-report.ts'
import type { TrainingEvent } from '../../src/train/events.ts'

const told = (dir: string): readonly TrainingEvent[] => [
  {
    kind: 'run',
    name: 'a <b>',
    dir,
    executor: 'onnx:cpu',
    reason: '',
    resumed: false,
    command: 'npx latentgraph train a.json --set /seed=7',
  },
  { kind: 'stage', stage: 'diffusion', steps: 4, done: 0 },
  { kind: 'step', stage: 'diffusion', step: 1, metrics: { loss: 2 } },
  { kind: 'preview', stage: 'diffusion', step: 1, files: [join(dir, 'diffusion', 'p 1.png')] },
  { kind: 'step', stage: 'diffusion', step: 2, metrics: { loss: 1 } },
]
const notes: string[] = []
const page = async (ending: TrainingEvent['kind'] | undefined, held: Parameters<typeof liveReport>[1]) => {
  notes.length = 0
  const dir = await mkdtemp(join(tmpdir(), 'latentgraph-live-'))
  try {
    await writeFile(join(dir, 'experiment.json'), '{}')
    const sink = liveReport(dir, held, (event) =>
      TE.fromIO(() => {
        if (event.kind === 'note') notes.push(event.text)
      }),
    )
    const end: readonly TrainingEvent[] =
      ending === 'failed'
        ? [{ kind: 'failed', dir, error: 'loss <NaN>' }]
        : ending === 'stopped'
          ? [{ kind: 'stopped', dir }]
          : []
    for (const event of [...told(dir), ...end]) expect(E.isRight(await sink(event)())).toBe(true)
    const files = await readdir(dir)
    return files.includes('report.html') ? await readFile(join(dir, 'report.html'), 'utf8') : undefined
  } finally {
    await rm(dir, { recursive: true })
  }
}

it('a page that loads itself anew while the run goes', async () => {
  expect(await page(undefined, TE.right(undefined))).toContain('http-equiv="refresh"')
})
it('of a run that failed: the error, its steps, its previews, how to go on; it stays as it is', async () => {
  const text = await page('failed', TE.right(undefined))
  for (const part of [
    'loss &lt;NaN&gt;',
    'a &lt;b&gt;',
    'step 2 of 4',
    'src="diffusion/p%201.png"',
    '--resume',
    'polyline',
    '--set /seed=7',
  ])
    expect(text).toContain(part)
  expect(text).not.toContain('http-equiv="refresh"')
})
it('nothing in a folder that another process has taken: said once, and the run goes on', async () => {
  expect(await page('stopped', TE.left([failure('file', 'x', 'the owner', 'another')]))).toBeUndefined()
  expect(notes).toHaveLength(1)
  expect(notes[0]).toMatch(/the report cannot be written; the run goes on without:[\s\S]*another/)
})
