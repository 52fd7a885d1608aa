import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { E } from '../../src/prelude.ts'
import { stageMetrics } from '../../src/run/report-data.ts'

test('metrics that cannot be read are named with their line; without it the rest is read', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'latentgraph-metrics-'))
  const stages = ['first-stage', 'diffusion'] as const
  const write = (stage: string, text: string) => writeFile(join(dir, stage, 'metrics.jsonl'), text)
  for (const stage of stages) {
    await mkdir(join(dir, stage))
    await write(stage, '{"step":1,"loss":2}\n')
  }
  for (const wrong of ['garbage', '{"step":"x"}', '[1]']) {
    await write('diffusion', `{"step":1,"loss":2}\n${wrong}\n`)
    expect(await stageMetrics(dir, stages)()).toMatchObject({
      left: [{ tag: 'file', at: `${join(dir, 'diffusion', 'metrics.jsonl')}:2`, got: wrong }],
    })
  }
  await write('diffusion', '{"step":1,"loss":2}\n')
  const metrics = [{ step: 1, loss: 2 }]
  expect(await stageMetrics(dir, stages)()).toEqual(
    E.right([
      { stage: 'first-stage', metrics },
      { stage: 'diffusion', metrics },
    ]),
  )
  await rm(dir, { recursive: true })
})
