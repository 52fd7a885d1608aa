import { join } from 'node:path'
import { emojiCredit } from '../data/emoji.ts'
import { type Checked, type Effect, type Errors, effect, failure, reasonOf } from '../error.ts'
import { tells } from '../experiment/conditioning.ts'
import {
  autoencoderOf,
  type Experiment,
  effectiveBatch,
  type FirstStage,
  type Training,
} from '../experiment/document.ts'
import { saysSampling } from '../experiment/sampling.ts'
import { contentHash } from '../graph/hash.ts'
import { size } from '../graph/types.ts'
import { readBytes } from '../io/bytes.ts'
import { asArgument } from '../io/names.ts'
import { version } from '../package.ts'
import { E, pipe, TE } from '../prelude.ts'
import { decode, dictionary, number } from '../schema.ts'
import { bestOf } from '../train/monitor.ts'
import { heldOutLayout } from '../train/pictures.ts'
import { modelParameters, type StagePlan, stagesOf, trainingOf } from '../train/plan.ts'
import type { LabelledGrid, ReportData, StageMetrics, StageSummary } from '../train/report/index.ts'
import type { RunSummary, SamplesSummary } from '../train/run.ts'
import { saysRestoration } from '../train/showing.ts'
import { machine } from './machine.ts'
import { recipeOf } from './recipe.ts'
import { rateCharts, scheduleCharts } from './report-charts.ts'
import { stripsOf } from './report-previews.ts'

const metricsLine = decode(dictionary(number()), { tag: 'file' })

/** A line of `metrics.jsonl`. Errors (`file`): none such. */
export const lineOf = (line: string, at: string): Checked<Readonly<Record<string, number>>> =>
  pipe(
    E.tryCatch((): unknown => JSON.parse(line), reasonOf),
    E.flatMap((u): E.Either<unknown, Readonly<Record<string, number>>> => metricsLine(u)),
    E.mapLeft(
      (): Errors => [
        failure(
          'file',
          at,
          'a line of numbers, as training writes it',
          line.slice(0, 80),
          'remove the line, and resume',
        ),
      ],
    ),
  )

/** The `metrics.jsonl` of stages of a run. Errors (`file`): with the line. */
export const stageMetrics = (dir: string, stages: readonly StagePlan['name'][]): Effect<readonly StageMetrics[]> =>
  effect(async (run) => {
    const all: StageMetrics[] = []
    for (const name of stages) {
      const path = join(dir, name, 'metrics.jsonl')
      const text = new TextDecoder().decode(await run(readBytes(path)))
      const metrics: StageMetrics['metrics'][number][] = []
      for (const [i, line] of text.split('\n').entries()) {
        if (line === '') continue
        const { step = 0, ...rest } = await run(TE.fromEither(lineOf(line, `${path}:${i + 1}`)))
        metrics.push({ step, ...rest })
      }
      all.push({ stage: name, metrics })
    }
    return all
  })

const pictures = (training: Training | undefined): number => (training === undefined ? 0 : effectiveBatch(training))

/** What validations came to, and whether they ended a stage. */
const validationNotes = (
  { name }: StagePlan,
  { steps, validate }: Training,
  { metrics }: StageMetrics,
): readonly string[] => {
  const monitor = validate?.monitor
  if (monitor === undefined) return []
  const best = bestOf(
    monitor,
    metrics.flatMap(({ step, [monitor.metric]: value }) => (value === undefined ? [] : [{ step, value }])),
  )
  const done = metrics.at(-1)?.step ?? steps
  return [
    ...(best === undefined
      ? []
      : [
          `${name}: best ${monitor.metric} ${Number(best.value.toPrecision(5))}, after step ${best.step}; the run went on with the ${monitor.use === 'best' ? 'best' : 'last'} state.`,
        ]),
    ...(done < steps ? [`${name}: ended early, after ${done} of ${steps} steps, its patience at an end.`] : []),
  ]
}

/** Which parts nobody sees in the document. */
const ownNotes = ({ own }: Experiment): readonly string[] =>
  own === undefined
    ? []
    : [`Functions of the program ${own.name}, version ${own.version}: ${own.functions.join(', ')}.`]

const stageSummary =
  (e: Experiment, times: ReadonlyMap<string, StageTime>, metrics: readonly StageMetrics[]) =>
  (stage: StagePlan): StageSummary => {
    const training = trainingOf(e, stage)
    const time = times.get(stage.name) ?? { seconds: 0, steps: 0 }
    const own = metrics.find((m) => m.stage === stage.name) ?? { stage: stage.name, metrics: [] }
    const declared = training?.steps ?? 0
    const steps = own.metrics.at(-1)?.step ?? declared
    return {
      name: stage.name,
      parameters: modelParameters(stage)
        .filter((p) => p.trainable)
        .reduce((n, p) => n + size(p.shape), 0),
      steps,
      ...(steps < declared ? { declaredSteps: declared } : {}),
      notes: [...ownNotes(e), ...(training === undefined ? [] : validationNotes(stage, training, own))],
      batchSize: pictures(trainingOf(e, stage)),
      seconds: time.seconds,
      rate: time.seconds === 0 ? 0 : time.steps / time.seconds,
      graphHash: contentHash(stage.step.graph),
    }
  }

/** As `trainExperiment` lays the pictures out. */
const reconstructionRows = (heldOut: number): readonly string[] => {
  const { n, columns } = heldOutLayout(heldOut)
  const rows = Math.floor(n / columns)
  return ['inputs', 'reconstructions'].flatMap((label) =>
    Array.from({ length: rows }, (_, i) => (i === 0 ? label : '')),
  )
}

const priorCaptions: { readonly [K in FirstStage['kind']]: string } = {
  kl: 'What the decoder makes of latents drawn from the prior N(0, I), without a diffusion model.',
  vq: 'What the decoder makes of codes drawn from the prior, all alike, without a diffusion model.',
}

const samplesCaption = ({ sampling, diffusion }: Experiment, { restoration, captions }: SamplesSummary): string => {
  const how = saysSampling(sampling, diffusion?.schedule.timesteps ?? 0)
  if (restoration !== undefined) return `${how}; ${saysRestoration(restoration)}.`
  if (captions !== undefined)
    return `${how}; by captions of pictures that were never trained on: ${captions.map((c) => `"${c}"`).join(', ')}.`
  return tells('class', diffusion?.conditioning) ? `${how}; a row a class.` : `${how}.`
}

/** The options by which a run is trained four times as long. */
const longer = (e: Experiment): string =>
  Object.entries({ firstStage: autoencoderOf(e)?.training.steps, diffusion: e.diffusion?.training.steps })
    .flatMap(([stage, steps]) => (steps === undefined ? [] : [`--set /${stage}/training/steps=${4 * steps}`]))
    .join(' ')

interface Asked {
  readonly dir: string
  readonly classes: readonly string[]
  readonly typed: string | undefined
}
const nextSteps = (e: Experiment, of: Asked) =>
  e.own === undefined
    ? typedSteps(e, of)
    : [
        {
          what: 'Draw more, in the program that defined it',
          command: `const run = await orThrow(loadRun(${JSON.stringify(of.dir)}, { definition }))`,
        },
      ]
const typedSteps = (e: Experiment, { dir, classes, typed }: Asked) => [
  ...(e.diffusion === undefined
    ? []
    : [
        {
          what: 'Draw more',
          command: `npx latentgraph sample ${asArgument(dir)}${
            tells('class', e.diffusion.conditioning) && classes[0] !== undefined
              ? ` --class ${asArgument(classes[0])}`
              : ''
          } --seed 7 --out more.png`,
        },
      ]),
  {
    what: 'Train longer, into a folder of its own',
    command: `npx latentgraph train ${asArgument(join(dir, 'experiment.json'))} ${longer(e)} --out ${asArgument(`${dir}-long`)}`,
  },
  ...(typed === undefined ? [] : [{ what: 'This run was', command: typed }]),
  {
    what: 'The same with another seed, or any other field of the recipe',
    command: `npx latentgraph train ${asArgument(join(dir, 'experiment.json'))} --set /seed=${e.seed + 1} --out ${asArgument(`${dir}-${e.seed + 1}`)}`,
  },
  { what: 'See what the experiment is', command: `npx latentgraph check ${asArgument(dir)}` },
]

const dataName = ({ data }: Experiment): string =>
  'path' in data
    ? data.path
    : { emoji: 'the emoji of emoji-datasource-twitter', shapes: 'generated shapes', own: 'pictures of the program' }[
        data.kind
      ]

/** What was done of a stage in one go, which may be the last part of it. */
export interface StageTime {
  readonly seconds: number
  readonly steps: number
}

export interface ReportFacts {
  readonly summary: RunSummary
  /** Of each stage, by name. */
  readonly times: ReadonlyMap<string, StageTime>
  readonly metrics: readonly StageMetrics[]
  readonly executor: string
  /** The run's folder, as a person would type it: what is there holds all that the run was told. */
  readonly dir: string
  /** Where it lies. */
  readonly folder: string
  /** What was typed to begin it. */
  readonly command?: string
}

/** What the report of a finished run says. */
export const reportData = ({
  summary,
  times,
  metrics,
  executor,
  dir,
  folder,
  command,
}: ReportFacts): Effect<ReportData> =>
  effect(async (run) => {
    const { experiment: e, plan, data, firstStage, samples } = summary
    const autoencoder = autoencoderOf(e)
    const grid = async (path: string, rows: readonly string[], caption: string): Promise<LabelledGrid> => ({
      png: await run(readBytes(path)),
      rows,
      caption,
    })
    const { cpu, cores } = machine()
    return {
      name: e.name,
      seed: e.seed,
      version: version(),
      data: {
        name: dataName(e),
        trained: data.train,
        heldOut: data.heldOut,
        size: e.data.size,
        classes: data.classes,
        ...(e.data.kind === 'emoji' ? { credit: emojiCredit } : {}),
      },
      stages: stagesOf(plan).map(stageSummary(e, times, metrics)),
      seconds: summary.seconds,
      machine: { cpu, cores, executor },
      ...(firstStage === undefined || autoencoder === undefined
        ? {}
        : {
            psnr: firstStage.heldOutPsnr,
            reconstructions: await grid(
              firstStage.reconstructions,
              reconstructionRows(data.heldOut),
              'Pictures that were never trained on, and what the first stage makes of them.',
            ),
            priorSamples: await grid(firstStage.priorSamples, [], priorCaptions[autoencoder.kind]),
          }),
      ...(samples === undefined
        ? {}
        : {
            samples: await grid(
              samples.file,
              samples.rows.length === 0 && tells('class', e.diffusion?.conditioning) ? data.classes : samples.rows,
              samplesCaption(e, samples),
            ),
            ...(samples.restoration === undefined ? {} : { restoration: samples.restoration }),
            nearest: await grid(
              samples.nearest.file,
              [],
              `Each row of samples over the training pictures that are nearest to them, pixel by pixel, of ${samples.nearest.among}.`,
            ),
          }),
      strips: await run(
        stripsOf(
          folder,
          stagesOf(plan).map(({ name }) => name),
        ),
      ),
      declared: [...rateCharts(e, plan), ...scheduleCharts(e)],
      recipe: recipeOf(e),
      next: nextSteps(e, { dir, classes: data.classes, typed: command }),
    }
  })
