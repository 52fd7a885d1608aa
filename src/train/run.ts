import { join } from 'node:path'
import { labelsOf } from '../data/dataset.ts'
import { type Effect, effect } from '../error.ts'
import type { Experiment } from '../experiment/document.ts'
import { latentShape } from '../experiment/first-stage.ts'
import { sweep, writeFileAtomic } from '../io/atomic.ts'
import { type Owned, owning } from '../io/owner.ts'
import { TE } from '../prelude.ts'
import { picturesOf } from './data.ts'
import { showDataFacts } from './data-facts.ts'
import { trainDiffusion } from './diffusion.ts'
import { trainFirstStage } from './first-stage.ts'
import { drawPictures, drawPrior, firstItems, reconstruct, reconstructionPsnr } from './inference.ts'
import { encodeHeldOut, encodeLatents } from './latents.ts'
import { dataFile, experimentFile, type Opened, openExperiment } from './opening.ts'
import type { RunOptions } from './options.ts'
import { heldOutLayout, labelRows, writePictures, writeReconstructions } from './pictures.ts'
import type { Plan } from './plan.ts'
import { stoppable } from './stop.ts'

export interface RunSummary {
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

/** The folders of a run that it writes to. */
const foldersOf = (dir: string): readonly string[] => [
  dir,
  ...['first-stage', 'diffusion'].flatMap((stage) =>
    ['', 'checkpoints', 'best', 'previews'].map((folder) => join(dir, stage, folder)),
  ),
]

/** Makes a folder that run's: tidied, and with what it is trained on. */
const claim = (e: Experiment, facts: Opened['facts'], { dir, listener }: RunOptions): Effect<void> =>
  effect(async (run) => {
    const left = await run(sweep(foldersOf(dir)))
    if (left.length > 0) listener.say(`removed what writes that were cut off had left: ${left.join(', ')}`)
    await run(writeText(dataFile(dir), showDataFacts(facts)))
    await run(writeText(experimentFile(dir), JSON.stringify(e, null, 2)))
  })

type Own = RunOptions & { readonly owned: Owned }

/** Trains both stages and draws what they have learnt. */
const trainOwned = (e: Experiment, given: Own): Effect<RunSummary> =>
  effect(async (run) => {
    const started = performance.now()
    const o: Own = { ...given, executor: stoppable(given.executor, given.listener.stopping) }
    const { doing, say } = o.listener
    const opened = await run(openExperiment(e, o))
    const { data, plan, facts } = opened
    await run(claim(e, facts, o))

    const first = await run(trainFirstStage(e, o, opened))
    doing('drawing reconstructions')
    const heldOut = picturesOf(data.heldOut)
    const heldOutPsnr = await run(reconstructionPsnr(o.executor, e.firstStage, first, heldOut))
    const reconstructions = join(o.dir, 'reconstructions.png')
    const priorSamples = join(o.dir, 'prior-samples.png')
    const { n, columns } = heldOutLayout(heldOut.n)
    const shown = await run(firstItems(heldOut, n))
    const made = await run(reconstruct(o.executor, e.firstStage, first, shown))
    const drawn = await run(drawPrior(o.executor, e.firstStage, first, { n, seed: e.seed }))
    await run(o.owned.held)
    await run(writeReconstructions(reconstructions, shown, made, { columns, seed: e.seed }))
    await run(writePictures(priorSamples, drawn, { columns, seed: e.seed }))
    say(`held-out reconstructions: ${heldOutPsnr.toFixed(2)} dB PSNR`)
    const summary = (samples?: string): RunSummary => ({
      experiment: e,
      plan,
      data: { train: data.train.n, heldOut: data.heldOut.n, classes: facts.classes },
      heldOutPsnr,
      seconds: (performance.now() - started) / 1000,
      pictures: { reconstructions, priorSamples, ...(samples === undefined ? {} : { samples }) },
    })
    if (opened.diffusion === undefined || e.diffusion === undefined) return summary()

    doing('encoding the pictures')
    const { model, name } = opened.diffusion.stage
    const encoding = { executor: o.executor, stage: e.firstStage, state: first, seed: e.seed, dir: join(o.dir, name) }
    await run(o.owned.held)
    const latents = await run(encodeLatents(encoding, e.diffusion, picturesOf(data.train)))
    const { scale } = latents
    say(`latents: [${latentShape(e.firstStage.network).join(', ')}], multiplied by ${scale.toFixed(4)}`)
    await run(writeText(join(o.dir, 'latents.json'), JSON.stringify({ scale, classes: facts.classes })))
    const trained = await trainDiffusion(e, o, {
      opened: opened.diffusion,
      training: e.diffusion.training,
      moments: latents,
      labels: labelsOf(data.train),
      heldOut: await run(encodeHeldOut(encoding, e.diffusion, data.heldOut)),
      scale,
      firstStage: first,
    })().finally(latents.close)
    const second = await run(TE.fromEither(trained))
    doing('drawing samples')
    const pictures = await run(
      drawPictures(
        o.executor,
        { model, stage: e.firstStage },
        { firstStage: first, diffusion: second },
        { labels: labelRows(model.classes, e.sampling.perClass), seed: e.seed, sampling: e.sampling, scale },
      ),
    )
    const samples = join(o.dir, 'samples.png')
    await run(o.owned.held)
    await run(writePictures(samples, pictures, { columns: e.sampling.perClass, seed: e.seed }))
    return summary(samples)
  })

/**
 * Trains an experiment, stage after stage, into a folder that no other process works in: checkpoints, metrics, previews, and at the
 * end the held-out reconstructions and a sample grid. With `resume` it goes on where the folder's newest checkpoints stand; what
 * cannot go on is refused before anything is written. Errors: those of the data and the graphs; `file`, a folder that is another
 * process's, or gone; `training`, another run than the folder's, numbers that are no longer finite; `stopped`.
 */
export const trainExperiment = (e: Experiment, o: RunOptions): Effect<RunSummary> =>
  o.owned === undefined
    ? owning(o.dir, (owned) => trainOwned(e, { ...o, owned }))
    : trainOwned(e, { ...o, owned: o.owned })
