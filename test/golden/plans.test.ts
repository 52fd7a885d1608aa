import { describe, expect, test } from 'vitest'
import { type Explained, explainGroups } from '../../src/execute/explain.ts'
import { staged } from '../../src/execute/onnx/compile.ts'
import { measured } from '../../src/execute/onnx/costs.ts'
import { explained } from '../../src/execute/onnx/explain.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { programsOf } from '../../src/train/programs.ts'
import { right } from '../arbitrary/run.ts'

/** Two threads of a processor whose blocks have 16 channels: no plan depends on the machine that tests it. */
const threads = 2
const experiment = right(await loadExperiment('graphs/emoji.json')())
const programs = programsOf(experiment, right(planExperiment(experiment, 8)))

const line = ({ op, algorithm, layout, calls, milliseconds }: Explained & { readonly calls: number }): string =>
  `${op}, ${algorithm}, ${layout}: ${calls} calls, ${milliseconds.toPrecision(3)} ms`
const plan = (rows: readonly Explained[]): string => {
  const convolutions = rows.filter(({ op }) => op.startsWith('conv') && op !== 'convert')
  return [
    ...explainGroups(rows).map(line).sort(),
    '',
    ...convolutions.map(({ node, op, algorithm }) => `${node}: ${op}, ${algorithm}`),
    '',
  ].join('\n')
}

describe('the plan on onnx:cpu of what the main job runs', () => {
  test('has three programs', () =>
    expect(programs.map((p) => p.name)).toEqual(['first-stage', 'diffusion', 'sampling']))
  test.each(programs)('$name', async ({ name, graph, options: { mode, baked = [] } }) => {
    const device = 'cpu'
    const block = mode === 'training' ? 16 : null
    const rows = explained(
      staged(graph, { device, mode, threads }, baked),
      { device, mode, block, costs: measured },
      { threads, baked },
    )
    await expect(plan(rows)).toMatchFileSnapshot(`plans/${name}.txt`)
  })
})
