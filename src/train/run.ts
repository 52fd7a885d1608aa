import { join } from 'node:path'
import { labelsOf } from '../data/dataset.ts'
import { type Effect, type Errors, effect, failure } from '../error.ts'
import { type Experiment, experiment } from '../experiment/document.ts'
import { latentShape } from '../experiment/first-stage.ts'
import { parseJsonText } from '../experiment/json-text.ts'
import { differences } from '../experiment/same.ts'
import { writeFileAtomic } from '../io/atomic.ts'
import { readBytes } from '../io/bytes.ts'
import { E, pipe, TE } from '../prelude.ts'
import { decode } from '../schema.ts'
import { dataLines, loadData, parted, picturesOf } from './data.ts'
import { trainDiffusion } from './diffusion.ts'
import { trainFirstStage } from './first-stage.ts'
import { drawPictures, drawPrior, firstItems, reconstruct, reconstructionPsnr } from './inference.ts'
import { encodeLatents } from './latents.ts'
import { perceptualWeights } from './perceptual-weights.ts'
import { heldOutLayout, labelRows, writePictures, writeReconstructions } from './pictures.ts'
import { type Plan, planExperiment } from './plan.ts'
import type { RunOptions } from './stage.ts'

export interface RunSummary {
  readonly finished: boolean
  readonly experiment: Experiment
  readonly plan: Plan
  readonly data: { readonly train: number; readonly heldOut: number; readonly classes: readonly string[] }
  /** Of held-out pictures, in dB. */
  readonly heldOutPsnr: number
  readonly seconds: number
  readonly pictures: { readonly reconstructions: string; readonly priorSamples: string; readonly samples?: string }
}

const writeText = (path: string, text: string): Effect<void> =>
  writeFileAtomic(path, new TextEncoder().encode(`${text}\n`))
const experimentFile = ({ dir }: RunOptions): string => join(dir, 'experiment.json')

/** A run is gone on with as what it was; nothing is written before that is known. */
const claimFolder = (e: Experiment, o: RunOptions): Effect<void> =>
  effect(async (run) => {
    if (!o.resume) return
    const bytes = await readBytes(experimentFile(o))()
    if (E.isLeft(bytes)) return
    const text = new TextDecoder().decode(bytes.right)
    const was = await run(TE.fromEither(pipe(parseJsonText(text, experimentFile(o)), E.flatMap(decode(experiment)))))
    const [first, ...rest] = differences(was, e).map((d) =>
      failure(
        'training',
        `${experimentFile(o)}: ${d.at}`,
        `${JSON.stringify(d.was)}, as the run had`,
        JSON.stringify(d.is),
        'train into another folder to change it',
      ),
    )
    if (first !== undefined) await run(TE.left<Errors, void>([first, ...rest]))
  })

/**
 * Trains an experiment, stage after stage, into a folder: checkpoints, metrics, previews, and at the end the held-out
 * reconstructions and a sample grid. With `resume` it goes on where the folder's newest checkpoints stand.
 */
export const trainExperiment = (e: Experiment, o: RunOptions): Effect<RunSummary> =>
  effect(async (run) => {
    const started = performance.now()
    await run(claimFolder(e, o))
    const dataset = await run(loadData(e))
    const data = await run(TE.fromEither(parted(e, dataset)))
    for (const line of dataLines(data)) o.listener.say(line)
    const plan = await run(TE.fromEither(planExperiment(e, dataset.classes.length)))
    const constants = await run(perceptualWeights(e.firstStage, plan.firstStage.step))
    await run(writeText(experimentFile(o), JSON.stringify(e, null, 2)))

    const first = await run(trainFirstStage(e, o, plan, data, constants))
    const heldOut = picturesOf(data.heldOut)
    const heldOutPsnr = await run(reconstructionPsnr(o.executor, e.firstStage, first.state, heldOut))
    const reconstructions = join(o.dir, 'reconstructions.png')
    const priorSamples = join(o.dir, 'prior-samples.png')
    const { n, columns } = heldOutLayout(heldOut.n)
    const shown = await run(firstItems(heldOut, n))
    const made = await run(reconstruct(o.executor, e.firstStage, first.state, shown))
    await run(writeReconstructions(reconstructions, shown, made, { columns, seed: e.seed }))
    const drawn = await run(drawPrior(o.executor, e.firstStage, first.state, { n, seed: e.seed }))
    await run(writePictures(priorSamples, drawn, { columns, seed: e.seed }))
    o.listener.say(`held-out reconstructions: ${heldOutPsnr.toFixed(2)} dB PSNR`)
    const summary = (finished: boolean, samples?: string): RunSummary => ({
      finished,
      experiment: e,
      plan,
      data: { train: data.train.n, heldOut: data.heldOut.n, classes: dataset.classes },
      heldOutPsnr,
      seconds: (performance.now() - started) / 1000,
      pictures: { reconstructions, priorSamples, ...(samples === undefined ? {} : { samples }) },
    })
    const { diffusion } = plan
    if (!first.finished || diffusion === undefined || e.diffusion === undefined) return summary(first.finished)

    const dir = join(o.dir, diffusion.name)
    const encoding = { executor: o.executor, stage: e.firstStage, state: first.state, seed: e.seed, dir }
    const latents = await run(encodeLatents(encoding, e.diffusion, picturesOf(data.train)))
    const { scale } = latents
    o.listener.say(`latents: [${latentShape(e.firstStage.network).join(', ')}], multiplied by ${scale.toFixed(4)}`)
    await run(writeText(join(o.dir, 'latents.json'), JSON.stringify({ scale, classes: dataset.classes })))
    const trained = await trainDiffusion(e, o, {
      stage: diffusion,
      training: e.diffusion.training,
      moments: latents,
      labels: labelsOf(data.train),
      scale,
      firstStage: first.state,
    })().finally(latents.close)
    const second = await run(TE.fromEither(trained))
    if (!second.finished) return summary(false)
    const pictures = await run(
      drawPictures(
        o.executor,
        { model: diffusion.model, stage: e.firstStage },
        { firstStage: first.state, diffusion: second.state },
        { labels: labelRows(diffusion.model.classes, e.sampling.perClass), seed: e.seed, sampling: e.sampling, scale },
      ),
    )
    const samples = join(o.dir, 'samples.png')
    await run(writePictures(samples, pictures, { columns: e.sampling.perClass, seed: e.seed }))
    return summary(true, samples)
  })
