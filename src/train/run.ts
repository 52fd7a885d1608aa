import { join } from 'node:path'
import { type Effect, effect } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import { autoencoderOf, type Experiment } from '../experiment/document.ts'
import { sweep, writeFileAtomic } from '../io/atomic.ts'
import { type Owned, owning } from '../io/owner.ts'
import { TE } from '../prelude.ts'
import { adapterFilesOf, baseOf, beginsOf, heldTextsOf } from './base.ts'
import { picturesOf } from './data.ts'
import { showDataFacts } from './data-facts.ts'
import { trainDiffusion } from './diffusion.ts'
import { diffusionData } from './diffusion-data.ts'
import { drawPictures } from './drawing.ts'
import { doing, note } from './events.ts'
import { trainFirstStage } from './first-stage.ts'
import { drawPrior, firstItems, reconstruct, reconstructionPsnr } from './inference.ts'
import { type Nearest, writeNearest } from './nearest.ts'
import { dataFile, experimentFile, type Opened, openExperiment } from './opening.ts'
import type { RunOptions } from './options.ts'
import { heldOutLayout, writePictures, writeReconstructions } from './pictures.ts'
import type { Plan } from './plan.ts'
import { type Restoration, saysRestoration, showingOf } from './showing.ts'
import { stoppable } from './stop.ts'
import { writeWords } from './texts.ts'

/** What a training leaves. */
export interface RunSummary {
  readonly experiment: Experiment
  readonly plan: Plan
  readonly data: { readonly train: number; readonly heldOut: number; readonly classes: readonly string[] }
  /** Absent where diffusion is on pictures. */
  readonly firstStage?: FirstStageSummary
  readonly samples?: SamplesSummary
  readonly seconds: number
}
/** What a trained first stage makes of held-out pictures, and of its prior. */
export interface FirstStageSummary {
  /** In dB. */
  readonly heldOutPsnr: number
  /** Files. */
  readonly reconstructions: string
  readonly priorSamples: string
}
/** Pictures that were drawn, what their rows are, and how near those of held-out pictures come to these. */
export interface SamplesSummary {
  readonly file: string
  readonly rows: readonly string[]
  /** What each column was drawn by, where that is a text. */
  readonly captions?: readonly string[]
  readonly restoration?: Restoration
  /** Samples over the pictures trained on that are nearest to them. */
  readonly nearest: Nearest
}

const writeText = (path: string, text: string): Effect<void> =>
  writeFileAtomic(path, new TextEncoder().encode(`${text}\n`))

/** The folders of a run that it writes to. */
const foldersOf = (dir: string): readonly string[] => [
  dir,
  ...['first-stage', 'diffusion'].flatMap((stage) =>
    ['', 'checkpoints', 'best', 'averages', 'previews'].map((folder) => join(dir, stage, folder)),
  ),
]

/** Makes a folder that run's: tidied, and with what it is trained on. */
const claim = (e: Experiment, facts: Opened['facts'], { dir, tell }: RunOptions): Effect<void> =>
  effect(async (run) => {
    const left = await run(sweep(foldersOf(dir)))
    if (left.length > 0) await run(tell(note(`removed what writes that were cut off had left: ${left.join(', ')}`)))
    await run(writeText(dataFile(dir), showDataFacts(facts)))
    await run(writeText(experimentFile(dir), JSON.stringify(e, null, 2)))
  })

type Own = RunOptions & { readonly owned: Owned }

/** Trains the first stage, if there is one, and draws what it has learnt. */
const firstStageOf = (
  e: Experiment,
  o: Own,
  opened: Opened,
): Effect<{ readonly state: Values; readonly summary?: FirstStageSummary }> =>
  effect(async (run) => {
    const autoencoder = autoencoderOf(e)
    if (autoencoder === undefined || opened.firstStage === undefined) return { state: {} }
    const { data, constants } = opened
    const state = await run(trainFirstStage(e, o, { opened: opened.firstStage, autoencoder, data, constants }))
    await run(o.tell(doing('drawing reconstructions')))
    const heldOut = picturesOf(data.heldOut)
    const heldOutPsnr = await run(reconstructionPsnr(o.executor, autoencoder, state, heldOut))
    const reconstructions = join(o.dir, 'reconstructions.png')
    const priorSamples = join(o.dir, 'prior-samples.png')
    const { n, columns } = heldOutLayout(heldOut.n)
    const shown = await run(firstItems(heldOut, n))
    const made = await run(reconstruct(o.executor, autoencoder, state, shown))
    const drawn = await run(drawPrior(o.executor, autoencoder, state, { n, seed: e.seed }))
    await run(o.owned.held)
    await run(writeReconstructions(reconstructions, shown, made, { columns, seed: e.seed }))
    await run(writePictures(priorSamples, drawn, { columns, seed: e.seed }))
    await run(o.tell(note(`held-out reconstructions: ${heldOutPsnr.toFixed(2)} dB PSNR`)))
    return { state, summary: { heldOutPsnr, reconstructions, priorSamples } }
  })

/** Trains both stages and draws what they have learnt. */
const trainOwned = (e: Experiment, given: Own): Effect<RunSummary> =>
  effect(async (run) => {
    const started = performance.now()
    const o: Own = { ...given, executor: stoppable(given.executor, given.stopping) }
    const { tell } = o
    const base = await run(baseOf(e, o))
    const texts = await run(heldTextsOf(e, o))
    const held = base?.diffusion ?? texts?.weights ?? {}
    const opened = await run(openExperiment(e, o, { base, texts }))
    const { data, plan, facts } = opened
    await run(claim(e, facts, o))
    o.leads?.same('the experiment', JSON.stringify(e))
    o.leads?.same('the pictures', showDataFacts(facts))

    const first = base === undefined ? await run(firstStageOf(e, o, opened)) : { state: base.firstStage }
    const summary = (samples?: SamplesSummary): RunSummary => ({
      experiment: e,
      plan,
      data: { train: data.train.n, heldOut: data.heldOut.n, classes: facts.classes },
      seconds: (performance.now() - started) / 1000,
      ...('summary' in first && first.summary !== undefined ? { firstStage: first.summary } : {}),
      ...(samples === undefined ? {} : { samples }),
    })
    if (opened.diffusion === undefined || e.diffusion === undefined) return summary()

    const { model } = opened.diffusion.stage
    await run(o.owned.held)
    const learning = await run(
      diffusionData(e, o, {
        ...{ config: e.diffusion, stage: opened.diffusion.stage, data, base, texts },
        firstStage: first.state,
        dir: join(o.dir, opened.diffusion.stage.name),
      }),
    )
    const { scale, words, tokens } = learning
    await run(writeText(join(o.dir, 'latents.json'), JSON.stringify({ scale, classes: facts.classes })))
    if (words !== undefined) await run(writeWords(o.dir, words))
    const trained = await trainDiffusion(e, o, {
      opened: opened.diffusion,
      training: e.diffusion.training,
      ...{ learnt: learning.learnt, heldOut: learning.heldOut, tokens, scale },
      shown: data.heldOut,
      firstStage: first.state,
      base: held,
      ...(base === undefined ? {} : { begins: beginsOf(base, Object.keys(opened.diffusion.stage.step.leaves)) }),
    })().finally(learning.close)
    const second = await run(TE.fromEither(trained))
    for (const line of await run(adapterFilesOf(o, model, second))) await run(tell(note(line)))
    await run(tell(doing('drawing samples')))
    const showing = await run(showingOf(model, e.sampling.perClass, data.heldOut, { seed: e.seed, tokens }))
    const { asked, columns, rows, captions, grid } = showing
    const drawn = await run(
      drawPictures(
        o.executor,
        { model, stage: e.firstStage },
        { firstStage: first.state, diffusion: { ...held, ...second } },
        { ...asked, seed: e.seed, sampling: e.sampling, scale },
      ),
    )
    const restoration = showing.restoration?.(drawn)
    const file = join(o.dir, 'samples.png')
    await run(o.owned.held)
    await run(writePictures(file, grid(drawn), { columns, seed: e.seed }))
    await run(tell(doing('looking for the pictures nearest to samples')))
    const nearest = await run(
      writeNearest(join(o.dir, 'nearest.png'), drawn, picturesOf(data.train), { columns, seed: e.seed }),
    )
    if (restoration !== undefined) await run(tell(note(saysRestoration(restoration))))
    return summary({
      ...{ file, rows, nearest },
      ...(captions === undefined ? {} : { captions }),
      ...(restoration === undefined ? {} : { restoration }),
    })
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
