import { describe, expect, test } from 'vitest'
import { type Explained, explainGroups } from '../../src/execute/explain.ts'
import { bestOn, planned } from '../../src/execute/onednn/compile.ts'
import { piecesFor } from '../../src/execute/onednn/costs.ts'
import { explained as explainedOnednn } from '../../src/execute/onednn/explain.ts'
import { layoutOf } from '../../src/execute/onednn/memory.ts'
import { ownership } from '../../src/execute/onednn/ownership.ts'
import { staged } from '../../src/execute/onnx/compile.ts'
import { measured } from '../../src/execute/onnx/costs.ts'
import { explained } from '../../src/execute/onnx/explain.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { type Program, programsOf } from '../../src/train/programs.ts'
import { precision } from '../../src/transform/index.ts'
import { paperLibrary } from '../arbitrary/paper-onednn.ts'
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

const onOnednn = ({ graph, options: { mode, baked = [], carry = {} } }: Program, isa?: number): string => {
  const library = paperLibrary(isa)
  const known = new Set(baked)
  const target = { mode, carry, baked: known, fixed: known, pieces: piecesFor(threads) }
  const made = planned(graph, library, ownership(library), target, bestOn(library))
  const rows = explainedOnednn(made, threads, bestOn(library).costs)
  const products = rows.filter(({ op, algorithm }) => op.startsWith('conv') && !/^(loop|tiles)/.test(algorithm))
  const lines = products.map(({ node, op, algorithm, layout }) => `${node}: ${op}, ${algorithm}, ${layout}`)
  /** Items that are gone through in rounds are told once. */
  const convolutions = lines.filter((text, i) => text !== lines[i - 1])
  const groups = explainGroups(rows).map(line).sort()
  const once = `once: ${made.once.length} instructions`
  return [...groups, once, `memory: ${layoutOf(made).bytes} bytes`, '', ...convolutions, ''].join('\n')
}
describe('the plan on onednn of the same', () => {
  test.each(programs)('$name', async (program) => {
    await expect(onOnednn(program)).toMatchFileSnapshot(`plans/onednn-${program.name}.txt`)
  })
})
describe('the plan on onednn, with AVX-512, of the same', () => {
  test.each(programs.filter(({ name }) => name === 'diffusion'))('$name', async (program) => {
    await expect(onOnednn(program, 0x27)).toMatchFileSnapshot(`plans/onednn-avx512-${program.name}.txt`)
  })
})
describe('the plan on onednn of a step in bfloat16', () => {
  test.each([
    ['matrix-units', 0xfef],
    ['avx2', 0x7],
  ] as const)('with %s', async (processor, isa) => {
    const found = programs.find((p) => p.name === 'diffusion') ?? expect.unreachable('no diffusion')
    const half = { ...found, graph: precision('bfloat16')(found.graph) }
    await expect(onOnednn(half, isa)).toMatchFileSnapshot(`plans/onednn-bfloat16-${processor}.txt`)
  })
})
