import { Option } from 'commander'
import { type Checked, effect, fail, type LatentError } from '../error.ts'
import { crossChecks } from '../experiment/cross-checks.ts'
import { mostPictures } from '../experiment/data-rules.ts'
import type { Experiment } from '../experiment/document.ts'
import { requested, type Sampling, samplerNames, saysSampling } from '../experiment/sampling.ts'
import { E, flow, pipe, RNEA, TE } from '../prelude.ts'
import { spacings } from '../schedulers/levels.ts'
import type { AskedOptions } from './asked.ts'
import { type Register, several } from './command.ts'
import { type ConditionOptions, conditionOf, labelMapOption, lowResolutionOption } from './condition-picture.ts'
import { count, natural, notNegative, share, width } from './parse.ts'
import { checkPictureFile } from './picture-file.ts'
import { checkFrom } from './sample-from.ts'
import type { PublishedSampling } from './sample-published.ts'
import { exitCodes } from './terminal.ts'

/** What of the declared sampling can be asked for otherwise. */
export interface SamplingOptions {
  readonly guidanceRescale?: number
  readonly guidance?: number
  readonly steps?: number
  readonly sampler?: string
  readonly spacing?: string
  readonly eta?: number
}
interface Options extends SamplingOptions, ConditionOptions, AskedOptions, PublishedAlone {
  readonly seed?: number
  readonly count?: number
  readonly checkpoint?: 'last' | 'best'
  readonly ema?: number
  readonly executor?: string
  readonly precision: 'float32' | 'float16'
  readonly out: string
}

/** Of published models alone. */
type PublishedAlone = Pick<
  PublishedSampling,
  | ('pictureGuidance' | 'clipSkip' | 'weigh' | 'size' | 'depth' | 'hint' | 'controlScale')
  | ('lora' | 'loraMerge' | 'embedding' | 'control' | 'controlConfig')
>
const publishedAlone: readonly (readonly [keyof PublishedAlone, string])[] = [
  ['pictureGuidance', '--picture-guidance'],
  ['clipSkip', '--clip-skip'],
  ['weigh', '--weigh'],
  ['size', '--size'],
  ['depth', '--depth'],
  ['hint', '--hint'],
  ['controlScale', '--control-scale'],
  ['lora', '--lora'],
  ['loraMerge', '--lora-merge'],
  ['embedding', '--embedding'],
  ['control', '--control'],
  ['controlConfig', '--control-config'],
]
const experimentsAlone: readonly (readonly [keyof Options, string])[] = [
  ['spacing', '--spacing'],
  ['labelMap', labelMapOption],
  ['checkpoint', '--checkpoint'],
  ['ema', '--ema'],
  ['invert', '--invert'],
  ['fromClass', '--from-class'],
  ['fromPrompt', '--from-prompt'],
  ['interpolate', '--interpolate'],
  ['vary', '--vary'],
]
const isGiven = (value: unknown): boolean => value !== undefined && !(Array.isArray(value) && value.length === 0)
/** Options that apply to the kind of run. Errors (`usage`): the first that does not. */
export const applicable = (options: Options, published: boolean): Checked<unknown> => {
  const found = (published ? experimentsAlone : publishedAlone).find(([name]) => isGiven(options[name]))
  return found === undefined
    ? published && options.precision === 'float16'
      ? fail('usage', '--precision', 'float32, as published models are drawn from', 'float16')
      : E.right(undefined)
    : fail('usage', found[1], published ? "a run of one's own" : 'a run of a published model', 'given')
}

/** Settings of an experiment's sampling in the words of this command's options. */
const inOptions = (hint: string): string =>
  hint
    .replace(/--set '\/sampling=\{"sampler":"([^"]*)"\}'/g, '--sampler $1')
    .replace(/--set \/sampling\/(steps|spacing|guidance|sampler|eta)=/g, '--$1 ')
const asOption = ({ hint, ...error }: LatentError): LatentError => {
  const at = /^\/sampling(\/\w+)$/.exec(error.at)?.[1]
  return {
    ...error,
    ...(at === undefined ? {} : { tag: 'usage' as const, at: optionAt(at) }),
    ...(hint === undefined ? {} : { hint: inOptions(hint) }),
  }
}

/** The experiment with the sampling that the options ask for, checked again as a whole. */
export const withSampling = (e: Experiment, options: SamplingOptions): Checked<Experiment> => {
  const { guidanceRescale, guidance, steps, sampler, spacing, eta } = options
  return pipe(
    requested(e.sampling, {
      ...(guidanceRescale === undefined ? {} : { guidanceRescale }),
      ...(guidance === undefined ? {} : { guidance }),
      ...(steps === undefined ? {} : { steps }),
      ...(sampler === undefined ? {} : { sampler }),
      ...(spacing === undefined ? {} : { spacing }),
      ...(eta === undefined ? {} : { eta }),
    }),
    E.map((sampling) => ({ ...e, sampling })),
    E.mapLeft(RNEA.map((error) => ({ ...error, tag: 'usage' as const, at: optionAt(error.at) }))),
    E.flatMap(flow(crossChecks, E.mapLeft(RNEA.map(asOption)))),
  )
}
/** `/guidanceRescale` as it is typed: `--guidance-rescale`. */
const optionAt = (pointer: string): string =>
  pointer.replace(/^\//, '--').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/** What is inverted comes back by the sampler that the inversion undoes, unguided, unless another is asked for. */
const askedOf = (options: Options): SamplingOptions =>
  options.invert === true ? { sampler: 'ddim', guidance: 1, ...options } : options

/** How many pictures of each class: of what is inverted, which is always the same, one. */
const countOf = ({ count, invert }: Options, { perClass }: Sampling): Checked<number> =>
  invert !== true
    ? E.right(count ?? perClass)
    : count === undefined || count === 1
      ? E.right(1)
      : fail('usage', '--count', '1 with --invert, as all would be alike', `${count}`)

const drawable = (pictures: number, { data }: Experiment): Checked<number> => {
  const most = mostPictures(data.size)
  return pictures <= most
    ? E.right(pictures)
    : fail('usage', '--count', `at most ${most} pictures in all, as they are drawn side by side`, `${pictures}`)
}

export const sample: Register = (program, { terminal, run }) => {
  program
    .command('sample')
    .description('draw pictures from a trained run, or from a published model that was imported')
    .argument('<run>', 'the folder of the run')
    .requiredOption(
      '--out <file>',
      'the picture to write, in the format that its name ends with: .png, .jpg, .webp, .avif, .tiff',
    )
    .option('--class <name>', 'of this class alone; else a row of every class')
    .option('--prompt <text>', 'what to draw, of a model that reads texts; can be repeated: a row of each', several, [])
    .option('--prompts <file>', 'the same, a line each')
    .option('--guidance <scale>', 'of classifier-free guidance; 1 is none', notNegative)
    .option('--steps <n>', 'of the sampler', count)
    .addOption(new Option('--sampler <name>', 'how to go from noise to latents').choices(samplerNames))
    .addOption(new Option('--spacing <name>', 'where along the way the network is asked').choices(spacings))
    .option('--eta <number>', 'how much noise a sampler draws that can do without: 0 none', share)
    .option(`${lowResolutionOption} <picture>`, 'what a model of super-resolution draws larger')
    .option(`${labelMapOption} <picture>`, 'the label of each pixel, its grey value, of a model that is told one')
    .option('--seed <n>', 'of the noise; that of the experiment where left out', natural)
    .option('--count <n>', 'pictures of each class', count)
    .addOption(
      new Option('--checkpoint <which>', 'the last state of the diffusion stage, or the best that was kept').choices([
        'last',
        'best',
      ]),
    )
    .addOption(
      new Option('--ema <width>', 'an average made of the snapshots of training.postHocEma, by its relative width')
        .argParser(width)
        .conflicts('checkpoint'),
    )
    .option('--negative <class|text>', 'what guidance leads away from, instead of no class or an empty text')
    .option('--guidance-rescale <share>', 'how far guided predictions keep the spread of unguided ones', share)
    .option('--from <picture>', 'draw on from this picture instead of noise')
    .option('--strength <share>', 'how much of it is drawn anew: 1 all, 0 nothing; 0.75, or with a mask 1', share)
    .option('--mask <picture>', 'where it is drawn anew: white; what is black stays')
    .option('--invert', 'from the noise that the picture itself would be drawn from')
    .option('--from-class <name>', 'the class of a picture to invert; that which is drawn where left out')
    .option('--from-prompt <text>', 'what a picture to invert shows; what is drawn where left out')
    .option('--interpolate <seed>', 'each row goes from the noise of --seed to that of another', natural)
    .option('--vary <share>', 'each row holds variations of its first picture, so far from it', share)
    .option('--size <WxH>', 'pixels of the pictures of a published model; that of --from where left out')
    .option('--weigh', 'brackets weigh words of prompts, as (word:1.3) and [word], and long prompts go in chunks')
    .option('--clip-skip <n>', 'so many of the last layers of the text encoder are left out', natural)
    .option(
      '--picture-guidance <scale>',
      'of a model that changes pictures by words: how much of --from is kept',
      notNegative,
    )
    .option('--depth <picture>', 'a map of depths, bright what is near, of a model that is told one')
    .option('--lora <file[:weight]>', 'an adapter, and how much it counts; can be repeated', several, [])
    .option('--lora-merge', 'change the weights by the adapters once, rather than add terms at each step')
    .option('--embedding <file[:word]>', 'a word of textual inversion; can be repeated', several, [])
    .option('--control <path>', 'a ControlNet: a folder of diffusers, or an original file')
    .option('--control-config <file>', 'its YAML, where it does not lie beside it')
    .option('--hint <picture>', 'what the ControlNet is to follow')
    .option('--control-scale <number>', 'how much it counts', notNegative)
    .option('--executor <name>', 'that of the experiment where left out')
    .addOption(
      new Option('--precision <dtype>', 'float16: weights and activations of half the size, for GPUs that have it')
        .choices(['float32', 'float16'])
        .default('float32'),
    )
    .addHelpText(
      'after',
      '\nExample:\n  latentgraph sample runs/emoji --class "Animals & Nature" --guidance 4 --out animals.png',
    )
    .action((dir: string, options: Options) =>
      run(
        effect(async (go) => {
          const { openRun } = await import('./trained-run.ts')
          const { chooseExecutor } = await import('./session.ts')
          const { writePictures } = await import('../train/pictures.ts')
          const { requestedOf } = await import('./asked.ts')
          const { inHalf } = await import('../execute/in-half.ts')
          const { drawPictures } = await import('../train/drawing.ts')
          const { begin } = await import('./sample-from.ts')
          const { progress } = await import('../train/progress.ts')
          const { isPublishedRun } = await import('../pipelines/run-files.ts')
          const published = await isPublishedRun(dir)
          await go(TE.fromEither(applicable(options, published)))
          await go(TE.fromEither(checkFrom(options)))
          await go(checkPictureFile(options.out))
          if (published) {
            const { samplePublished } = await import('./sample-published.ts')
            return go(samplePublished(dir, options, terminal))
          }
          const trained = await go(openRun(dir, { checkpoint: options.checkpoint, ema: options.ema }))
          if (trained.average !== undefined) terminal.err(`${trained.average}\n`)
          const experiment = await go(TE.fromEither(withSampling(trained.experiment, askedOf(options))))
          const { sampling, firstStage, executor } = experiment
          const seed = options.seed ?? experiment.seed
          const each = await go(TE.fromEither(countOf(options, sampling)))
          const { model, scale } = trained
          const { asked, kinds, shown, notes } = await go(requestedOf(trained, options, each))
          if (options.negative !== undefined && sampling.guidance === 1)
            return go(TE.fromEither(fail('usage', '--negative', 'guidance to lead away with', '--guidance 1')))
          await go(TE.fromEither(drawable(kinds * each, trained.experiment)))
          const condition = await go(conditionOf(model.conditioner, options, asked.labels.length))
          const { pictures: told, rest } = condition
          for (const note of [...notes, ...(condition.note === undefined ? [] : [condition.note])])
            terminal.err(`${note}\n`)
          const columns = kinds === 1 && (options.class ?? options.prompt?.[0]) !== undefined ? Math.min(each, 8) : each
          const choice = await go(chooseExecutor(options.executor ?? executor))
          const chosen = options.precision === 'float16' ? inHalf(choice.executor) : choice.executor
          const { from, finish, says } = await go(
            begin(chosen, trained, experiment, rest, { asked, each, seed, shown }),
          )
          terminal.err(
            `on ${chosen.name} (${choice.reason}); ${saysSampling(sampling, model.config.schedule.timesteps)}${says === '' ? '' : `; ${says}`}\n`,
          )
          const state: { bar?: ReturnType<typeof progress> } = {}
          const pictures = await go(
            drawPictures(
              chosen,
              { model, stage: firstStage },
              { firstStage: trained.firstStage, diffusion: trained.diffusion },
              {
                ...asked,
                ...(told === undefined ? {} : { pictures: told }),
                seed,
                sampling,
                scale,
                from,
                onStep: ({ done, of }) =>
                  TE.fromIO(() => {
                    state.bar ??= progress('sampling', of, { from: done })
                    state.bar.update(done)
                  }),
              },
            ),
          )
          state.bar?.done()
          await go(writePictures(options.out, finish(pictures), { columns, seed }))
          terminal.out(`${options.out}\n`)
          return exitCodes.done
        }),
      ),
    )
}
