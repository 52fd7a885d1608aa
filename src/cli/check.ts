import { type Effect, effect } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { loadExperiment } from '../experiment/load.ts'
import { TE } from '../prelude.ts'
import { type CheckedStage, jsonReport, reportStage, textReport } from './check-report.ts'
import { type Register, setOption, several } from './command.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly json?: boolean
  readonly set: readonly string[]
}

/** How many classes there are is known from the pictures alone; nobody else asks for them here. */
const classesOf = (e: Experiment): Effect<number> =>
  effect(async (run) => {
    if (e.diffusion?.conditioning.kind !== 'class') return 0
    const { loadData } = await import('../train/run.ts')
    return (await run(loadData(e))).classes.length
  })

const stagesOf = (e: Experiment): Effect<readonly CheckedStage[]> =>
  effect(async (run) => {
    const plans = await import('../train/plan.ts')
    const plan = await run(TE.fromEither(plans.planExperiment(e, await run(classesOf(e)))))
    return plans.stagesOf(plan).map((stage) => ({
      name: stage.name,
      section: stage.section,
      parameters: plans.modelParameters(stage),
      declared: stage.step.declared,
      graph: stage.step.graph,
      intent: stage.step.intent,
    }))
  })

export const check: Register = (program, { terminal, run }) => {
  program
    .command('check')
    .description('check an experiment without running it: blocks, shapes, cost, lint')
    .argument('<file>', 'the experiment, JSON')
    .option('--json', 'for programs: parameters, lint and cost as JSON')
    .option(...setOption, several, [])
    .addHelpText('after', '\nExample:\n  latentgraph check graphs/emoji.json --set /diffusion/unet/modelChannels=96')
    .action((file: string, { json, set }: Options) =>
      run(
        effect(async (go) => {
          const reports = (await go(stagesOf(await go(loadExperiment(file, set))))).map(reportStage)
          terminal.out(json === true ? `${JSON.stringify(jsonReport(reports), null, 2)}\n` : textReport(reports))
          return reports.some(({ lint }) => lint.length > 0) ? exitCodes.failed : exitCodes.done
        }),
      ),
    )
}
