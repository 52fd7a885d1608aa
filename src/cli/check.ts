import { existsSync } from 'node:fs'
import { type Effect, effect } from '../error.ts'
import { adaptedIn, isAdapters } from '../experiment/adapter.ts'
import { autoencoderOf, type Experiment } from '../experiment/document.ts'
import { loadDeclaration } from '../experiment/load.ts'
import { type Problems, problem, refusing } from '../experiment/problems.ts'
import { parameters } from '../graph/graph.ts'
import { pipe, TE } from '../prelude.ts'
import { modelSections, type PublishedModel } from '../published/document.ts'
import type { StagePlan } from '../train/plan.ts'
import { jsonOfSections, reportSection, textOfSections } from './check-published.ts'
import { type CheckedStage, jsonReport, reportStage, textReport } from './check-report.ts'
import { type Register, setOption, several } from './command.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly json?: boolean
  readonly set: readonly string[]
}

/** How many classes there are, which is known from the pictures alone; 0 where nothing is conditioned on them. */
export const classesOf = (e: Experiment): Effect<number> =>
  effect(async (run) => {
    const { toldClasses } = await import('../train/plan.ts')
    if (!toldClasses(e)) return 0
    const { findData } = await import('../train/data.ts')
    return (await run(findData(e))).classes.length
  })

/** Files that a training reads before its first step. */
const missingFiles = (e: Experiment): Effect<Problems> => {
  const perceptual = autoencoderOf(e)?.loss.perceptual
  const at = '/firstStage/loss/perceptual/files'
  return TE.fromTask(async () => {
    const files = perceptual === undefined || perceptual.weight === 0 ? [] : perceptual.files
    const missing = files.filter((path) => !existsSync(path))
    return missing.map((path) => problem(`${at}/${files.indexOf(path)}`, 'a file, named from the working folder', path))
  })
}

type Adapter = NonNullable<NonNullable<Experiment['diffusion']>['adapter']>
/** What is trained, in a few words, out of the leaves of a step. */
const saysAdapter = (adapter: Adapter, leaves: readonly string[]): string => {
  if (adapter.kind === 'lora') return `rank ${adapter.rank} on ${adaptedIn(leaves).length} weights`
  const encoders = leaves.filter(isAdapters).length
  return `${adapter.token}, ${adapter.vectors} ${adapter.vectors === 1 ? 'vector' : 'vectors'} for each of ${encoders} text ${encoders === 1 ? 'encoder' : 'encoders'}`
}
/** What is trained beside a model that stays as it is. */
const adapterOf = ({ diffusion }: Experiment, { name, step }: StagePlan): Pick<CheckedStage, 'adapter'> =>
  name === 'diffusion' && diffusion?.adapter !== undefined
    ? {
        adapter: {
          kind: diffusion.adapter.kind,
          says: saysAdapter(
            diffusion.adapter,
            parameters(step.declared).map((p) => p.name),
          ),
        },
      }
    : {}

/** Everything that a training would come upon before its first step and after its last, short of training. */
const lookAt = (
  e: Experiment,
): Effect<{ readonly stages: readonly CheckedStage[]; readonly notes: readonly string[] }> =>
  effect(async (run) => {
    const plans = await import('../train/plan.ts')
    const { prepare } = await import('../train/prepare.ts')
    await run(TE.fromEither(refusing(await run(missingFiles(e)))))
    const { plan, lines } = await run(prepare(e))
    return {
      notes: lines,
      stages: plans.stagesOf(plan).flatMap((stage) => {
        const training = plans.trainingOf(e, stage)
        return training === undefined
          ? []
          : {
              training,
              name: stage.name,
              section: stage.section,
              parameters: plans.modelParameters(stage),
              declared: stage.step.declared,
              graph: stage.step.graph,
              intent: stage.step.intent,
              ...adapterOf(e, stage),
              ...(stage.step.inFloat32 === undefined ? {} : { inFloat32: stage.step.inFloat32 }),
              ...(stage.step.unbudgeted === undefined ? {} : { unbudgeted: stage.step.unbudgeted }),
            }
      }),
    }
  })

/** A report, and whether it found nothing wrong. */
interface Report {
  readonly json: object
  readonly text: string
  readonly clean: boolean
}

const experimentReport = (e: Experiment): Effect<Report> =>
  pipe(
    lookAt(e),
    TE.map(({ stages, notes }) => {
      const reports = stages.map(reportStage)
      return {
        json: jsonReport(reports, notes),
        text: textReport(reports, notes),
        clean: reports.every(({ lint }) => lint.length === 0),
      }
    }),
  )

const publishedReport = (model: PublishedModel): Effect<Report> =>
  pipe(
    TE.fromEither(modelSections(model)),
    TE.map((sections) => {
      const reports = sections.map(reportSection)
      const missing = model.conditioning?.kind === 'notBuilt' ? { cond_stage: model.conditioning.target } : {}
      return { json: jsonOfSections(reports, missing), text: textOfSections(reports, missing), clean: true }
    }),
  )

export const check: Register = (program, { terminal, run }) => {
  program
    .command('check')
    .description('check an experiment or a published model without running it: blocks, shapes, cost, lint')
    .argument('<file>', 'the experiment or the model, JSON, or the folder of a run')
    .option('--json', 'for programs: parameters, lint and cost as JSON')
    .option(...setOption, several, [])
    .addHelpText(
      'after',
      `
Examples:
  latentgraph check graphs/emoji.json --set /diffusion/unet/modelChannels=96
  latentgraph check runs/emoji
  latentgraph check graphs/published/kl-f8.json --json`,
    )
    .action((file: string, { json, set }: Options) =>
      run(
        effect(async (go) => {
          const { completed } = await import('../pipelines/tuning.ts')
          const declared = await go(loadDeclaration(file, set, completed))
          const report = await go(
            declared.kind === 'experiment' ? experimentReport(declared.experiment) : publishedReport(declared.model),
          )
          terminal.out(json === true ? `${JSON.stringify(report.json, null, 2)}\n` : report.text)
          return report.clean ? exitCodes.done : exitCodes.failed
        }),
      ),
    )
}
