import { existsSync } from 'node:fs'
import { type Effect, effect, fail } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import { adaptedIn, isAdapters } from '../experiment/adapter.ts'
import { ownTextsOf } from '../experiment/conditioning.ts'
import { learntAheadProgram } from '../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment } from '../experiment/document.ts'
import { type Declaration, loadDeclaration } from '../experiment/load.ts'
import { type Problems, problem, refusing } from '../experiment/problems.ts'
import { cost } from '../graph/cost.ts'
import { type Graph, outputTypes, parameters } from '../graph/graph.ts'
import { size as sizeOf } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { modelSections, type PublishedModel } from '../published/document.ts'
import type { Plan, StagePlan } from '../train/plan.ts'
import type { Program } from '../train/programs.ts'
import { optimise } from '../transform/index.ts'
import { jsonOfGraph, jsonOfSections, reportSection, textOfGraph, textOfSections } from './check-published.ts'
import { type CheckedStage, jsonReport, reportStage, textReport } from './check-report.ts'
import { type Register, setOption, several } from './command.ts'
import { halfText, plansOf, plansText } from './explain.ts'
import { exitCodes } from './terminal.ts'

interface Options {
  readonly json?: boolean
  readonly explain?: boolean
  readonly executor?: string
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
  if (adapter.kind === 'controlnet') return 'a ControlNet'
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

/** Text encoders that stay as they are, as far as they run and take room. */
const textsOf = (e: Experiment, { diffusion }: Plan, { name }: StagePlan): Pick<CheckedStage, 'texts'> => {
  const own = ownTextsOf(e.diffusion?.conditioning)
  const built = diffusion && learntAheadProgram(diffusion.model, 1)
  if (name !== 'diffusion' || own === undefined || built === undefined || E.isLeft(built)) return {}
  return {
    texts: {
      from: own.from ?? '',
      encoders: own.encoders.map(({ encoder, tokens }) => ({ kind: encoder.kind, positions: tokens.positions })),
      parameters: parameters(built.right).reduce((n, { shape }) => n + sizeOf(shape), 0),
      // Of two texts: a caption, and none.
      flops: cost(built.right).flops / 2,
      bytes: (4 * Object.values(outputTypes(built.right)).reduce((n, { shape }) => n + sizeOf(shape), 0)) / 2,
    },
  }
}

/** Everything that a training would come upon before its first step and after its last, short of training. */
const lookAt = (
  e: Experiment,
): Effect<{
  readonly stages: readonly CheckedStage[]
  readonly notes: readonly string[]
  readonly programs: readonly Program[]
}> =>
  effect(async (run) => {
    const plans = await import('../train/plan.ts')
    const { prepare } = await import('../train/prepare.ts')
    await run(TE.fromEither(refusing(await run(missingFiles(e)))))
    const { plan, lines } = await run(prepare(e))
    const { programsOf } = await import('../train/programs.ts')
    return {
      notes: lines,
      programs: programsOf(e, plan),
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
              ...textsOf(e, plan, stage),
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
  /** What is run many times. */
  readonly programs: readonly Program[]
}

const experimentReport = (e: Experiment): Effect<Report> =>
  pipe(
    lookAt(e),
    TE.map(({ stages, notes, programs }) => {
      const reports = stages.map(reportStage)
      return {
        programs,
        json: jsonReport(reports, notes),
        text: textReport(reports, notes),
        clean: reports.every(({ lint }) => lint.length === 0),
      }
    }),
  )

const publishedReport = (model: PublishedModel): Effect<Report> =>
  effect(async (run) => {
    const { programOf } = await import('../train/programs.ts')
    const sections = await run(TE.fromEither(modelSections(model)))
    const reports = sections.map(reportSection)
    const missing = model.conditioning?.kind === 'notBuilt' ? { cond_stage: model.conditioning.target } : {}
    return {
      programs: sections.map(({ section, graph }) => programOf(section, optimise(graph), 'sampling')),
      json: jsonOfSections(reports, missing),
      text: textOfSections(reports, missing),
      clean: true,
    }
  })

/** A graph runs as it is; its weights are fed. */
const graphReport = (graph: Graph): Effect<Report> =>
  effect(async () => {
    const { programOf } = await import('../train/programs.ts')
    return {
      programs: [programOf('graph', graph, 'training')],
      json: jsonOfGraph(graph),
      text: textOfGraph(graph),
      clean: true,
    }
  })

const reportOf = (declared: Declaration): Effect<Report> => {
  if (declared.kind === 'experiment') return pipe(experimentReport(declared.experiment), TE.mapLeft(declared.placed))
  return declared.kind === 'graph' ? graphReport(declared.graph) : publishedReport(declared.model)
}
/** The executor whose plan is asked for. */
const askedExecutor = (declared: Declaration, name: string | undefined): Effect<Executor> =>
  effect(async (run) => {
    const { chooseExecutor } = await import('../execute/choose.ts')
    const own = declared.kind === 'experiment' ? declared.experiment.executor : 'auto'
    return (await run(chooseExecutor(name ?? own))).executor
  })

export const check: Register = (command, { terminal, run }) => {
  command
    .argument('<file>', 'the experiment, the model or the graph, JSON, or the folder of a run')
    .option('--json', 'for programs: parameters, lint and cost as JSON')
    .option('--explain', 'how each of its programs is computed: call, algorithm, layout, expected time and its share')
    .option('--executor <name>', 'whose plan is explained; that of the experiment where left out')
    .option(...setOption, several, [])
    .addHelpText(
      'after',
      `
Examples:
  latentgraph check graphs/emoji.json --set /diffusion/unet/modelChannels=96
  latentgraph check runs/emoji
  latentgraph check graphs/emoji.json --explain --executor onnx:cpu
  latentgraph check graphs/published/kl-f8.json --json`,
    )
    .action((file: string, { json, set, explain, executor }: Options) =>
      run(
        effect(async (go) => {
          const { completed } = await import('../pipelines/tuning.ts')
          const declared = await go(loadDeclaration(file, set, completed))
          if (executor !== undefined && explain !== true)
            return go(TE.fromEither(fail('usage', '--executor', '--explain, which it belongs to', 'given alone')))
          const report = await go(reportOf(declared))
          if (explain !== true) terminal.out(json === true ? `${JSON.stringify(report.json, null, 2)}\n` : report.text)
          else {
            const engine = await go(askedExecutor(declared, executor))
            const plans = await go(plansOf(engine, report.programs))
            terminal.out(
              json === true
                ? `${JSON.stringify({ ...report.json, executor: engine.name, plans: plans.of }, null, 2)}\n`
                : `${report.text}\n${await go(halfText(engine.name, report.programs))}${plansText(engine.name, plans, report.programs)}`,
            )
          }
          return report.clean ? exitCodes.done : exitCodes.failed
        }),
      ),
    )
}
