import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { reportStage, textReport } from '../../src/cli/check-report.ts'
import { failure } from '../../src/error.ts'
import type { Experiment } from '../../src/experiment/document.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { differences } from '../../src/experiment/same.ts'
import { cost } from '../../src/graph/cost.ts'
import { E, pipe } from '../../src/prelude.ts'
import { budgetRule } from '../../src/train/budget.ts'
import { saysWhatFits } from '../../src/train/fitting.ts'
import { identitiesOf, modelParameters, planExperiment } from '../../src/train/plan.ts'
import { right } from '../arbitrary/run.ts'

const tiny = join(import.meta.dirname, '../../graphs/tiny.json')
const field = '/firstStage/training/memoryBudget'
const declared = async (...settings: readonly string[]): Promise<Experiment> => {
  const { diffusion: _, ...e } = right(await loadExperiment(tiny, ['/firstStage/training/batchSize=32', ...settings])())
  return e
}
/** The experiment that most of this is about, and its plan. */
const small = declared(`${field}=40`).then((e) => ({ e, plan: right(planExperiment(e, 8)) }))

describe('a memory budget', () => {
  it('is met by the step that an experiment declares, which says what it costs', async () => {
    const whole = await declared()
    const { firstStage: free } = right(planExperiment(whole, 8))
    const { e, plan } = await small
    const { firstStage: stage } = plan
    if (free === undefined || stage?.step.unbudgeted === undefined || !('training' in e.firstStage))
      throw new Error('no first stage with a budget')
    const [without, step] = [cost(free.step.graph), cost(stage.step.graph)]
    expect(without.peakBytes).toBeGreaterThan(40 * 2 ** 20)
    expect(step.peakBytes).toBeLessThanOrEqual(40 * 2 ** 20)
    expect(stage.step.unbudgeted).toEqual({ peakBytes: without.peakBytes, flops: without.flops })
    const text = textReport(
      [
        reportStage({
          ...{ name: stage.name, section: stage.section, parameters: modelParameters(stage) },
          ...{ declared: stage.step.declared, graph: stage.step.graph, intent: stage.step.intent },
          ...{ training: e.firstStage.training, unbudgeted: stage.step.unbudgeted },
        }),
      ],
      [],
    )
    const more = (100 * (step.flops / without.flops - 1)).toFixed(1)
    expect(text).toContain(
      `budget       40 MiB; without it ${Math.ceil(without.peakBytes / 2 ** 20)} MiB: ${more} % more operations`,
    )
  })
  it('that is too small is an error, whose hint is the least that works', async () => {
    const refused = planExperiment(await declared(`${field}=1`), 8)
    if (refused._tag === 'Right') throw new Error('a step in 1 MiB')
    const [{ at, hint = '', got }] = refused.left
    expect([at, got]).toEqual([field, '1'])
    const [setting = ''] = hint.match(/\/firstStage\/training\/memoryBudget=\d+/) ?? []
    expect(planExperiment(await declared(setting), 8)._tag).toBe('Right')
  })
  it('changes nothing that a run is known by', async () => {
    const [whole, { e, plan }] = [await declared(), await small]
    const found = differences(whole, e)
    expect([found.free.map(({ at }) => at), found.steers, found.another]).toEqual([[field], [], []])
    expect(right(identitiesOf(e, 8, plan))).toEqual(right(identitiesOf(whole, 8, right(planExperiment(whole, 8)))))
  })
  it('is refused where what is computed twice is computed once', async () => {
    const { e } = await small
    expect(budgetRule(e, 'onnx:cpu')).toEqual([])
    expect(budgetRule(e, 'tfjs:wasm').map(({ at }) => at)).toEqual([field])
  })
})

describe('too little memory', () => {
  it('is answered with settings that are reckoned to fit', async () => {
    const e = await declared('/firstStage/training/batchSize=16')
    const replan = (other: Experiment) =>
      pipe(
        planExperiment(other, 8),
        E.map(({ firstStage }) => firstStage),
      )
    const stage = right(replan(e))
    if (stage === undefined || !('training' in e.firstStage)) throw new Error('no first stage')
    const limit = cost(stage.step.graph).peakBytes
    const lacking = { ...failure('run', 'xla:cuda', 'memory for 3 MiB more', '2 MiB free'), shortage: { limit } }
    const other = failure('run', 'xla:cuda', 'a run that succeeds', 'something else')
    const says = saysWhatFits(e, {
      ...{ name: stage.name, step: stage.step, replan },
      training: e.firstStage.training,
    })
    const [{ hint = '' }, untouched] = says([lacking, other])
    expect(untouched).toBe(other)
    const [turns = '', ...others] = hint.split(', or ')
    expect(turns).toMatch(/^a step takes about \d+ MiB; within \d+ MiB: --set /)
    expect(others.at(-1)).toMatch(
      /^--set \/firstStage\/training\/memoryBudget=\d+ \(some of it computed twice: about \d+ MiB\)$/,
    )
    const settings = [...turns.matchAll(/--set (\S+)/g)].map(([, setting = '']) => setting)
    const [batch, accumulate] = settings.map((setting) => Number(setting.split('=')[1]))
    expect((batch ?? 0) * (accumulate ?? 0)).toBe(16)
    const less = right(replan(await declared(...settings)))
    expect(cost(less?.step.graph ?? stage.step.graph).peakBytes).toBeLessThan(0.75 * limit)
  })
})
