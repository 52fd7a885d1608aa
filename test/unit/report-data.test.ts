import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import tiny from '../../graphs/tiny.json' with { type: 'json' }
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { E } from '../../src/prelude.ts'
import { stageMetrics } from '../../src/run/report-data.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { right } from './diffusion-fixtures.ts'

test('metrics that cannot be read are named with their line; without it the rest is read', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'latentgraph-metrics-'))
  const plan = right(planExperiment(right(decodeExperiment(tiny)), 2))
  const write = (stage: string, text: string) => writeFile(join(dir, stage, 'metrics.jsonl'), text)
  for (const stage of ['first-stage', 'diffusion']) {
    await mkdir(join(dir, stage))
    await write(stage, '{"step":1,"loss":2}\n')
  }
  for (const wrong of ['garbage', '{"step":"x"}', '[1]']) {
    await write('diffusion', `{"step":1,"loss":2}\n${wrong}\n`)
    expect(await stageMetrics(dir, { plan })()).toMatchObject({
      left: [{ tag: 'file', at: `${join(dir, 'diffusion', 'metrics.jsonl')}:2`, got: wrong }],
    })
  }
  await write('diffusion', '{"step":1,"loss":2}\n')
  const metrics = [{ step: 1, loss: 2 }]
  expect(await stageMetrics(dir, { plan })()).toEqual(
    E.right([
      { stage: 'first-stage', metrics },
      { stage: 'diffusion', metrics },
    ]),
  )
  await rm(dir, { recursive: true })
})
