import { type Checked, type Effect, effect, fail } from '../error.ts'
import { type Sampling, samplerNames, saysSampling, stepsOf } from '../experiment/sampling.ts'
import { E, pipe, TE } from '../prelude.ts'
import { spacings } from '../schedulers/levels.ts'
import { drawPictures } from '../train/drawing.ts'
import { latentsOfPictures } from '../train/encoding.ts'
import { asPart, decodeLatents } from '../train/inference.ts'
import { drawnWeights } from '../train/state.ts'
import { requestedOf } from './asked.ts'
import type { DrawnRun } from './drawn-run.ts'
import { lossesOf } from './losses.ts'
import { mostPictures } from './most-pictures.ts'
import type { ConditionKind, Opened, Prepared } from './opened.ts'
import type { Reads } from './reads.ts'
import { begin } from './sample-from.ts'
import { type Options, type SamplingOptions, withSampling } from './sample-options.ts'

/** A run of one's own, open to be drawn from. Nothing here reads files: a browser draws by it, too. */

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

const stagesOf = ({ model, experiment }: DrawnRun) => ({ model, stage: experiment.firstStage })

const decoded =
  ({ experiment: { firstStage: stage }, firstStage }: DrawnRun): Opened['decode'] =>
  (executor, latents) =>
    stage.kind === 'identity' ? TE.right(latents) : decodeLatents(executor, stage, firstStage, latents)

const prepare =
  (reads: Reads, trained: DrawnRun) =>
  (options: Options): Effect<Prepared> =>
    effect(async (go) => {
      const experiment = await go(TE.fromEither(withSampling(trained.experiment, askedOf(options))))
      const { sampling } = experiment
      const seed = options.seed ?? experiment.seed
      const each = await go(TE.fromEither(countOf(options, sampling)))
      const { model, scale, firstStage, diffusion } = trained
      const { asked, kinds, shown, notes } = await go(requestedOf(reads, trained, options, each))
      if (options.negative !== undefined && sampling.guidance === 1)
        return go(TE.fromEither(fail('usage', '--negative', 'guidance to lead away with', '--guidance 1')))
      const { size: side } = trained.experiment.data
      const condition = await go(reads.condition(model.conditioner, options, asked.labels.length))
      const { pictures: told, rest } = condition
      return {
        n: kinds * each,
        width: side,
        height: side,
        columns: kinds === 1 && (options.class ?? options.prompt?.[0]) !== undefined ? Math.min(each, 8) : each,
        seed,
        notes: [...notes, ...(condition.note === undefined ? [] : [condition.note])],
        begin: (executor) =>
          effect(async (run) => {
            const { from, finish, says } = await run(
              begin(executor, reads, trained, experiment, rest, { asked, each, seed, shown }),
            )
            return {
              says: `${saysSampling(sampling, model.config.schedule.timesteps)}${says === '' ? '' : `; ${says}`}`,
              draw: ({ watch = false, onStep }) =>
                pipe(
                  drawPictures(
                    executor,
                    stagesOf(trained),
                    { firstStage, diffusion },
                    {
                      ...asked,
                      ...(told === undefined ? {} : { pictures: told }),
                      seed,
                      sampling,
                      scale,
                      from,
                      watch,
                      onStep: ({ predicted, ...step }) =>
                        onStep?.({
                          ...step,
                          ...(predicted === undefined
                            ? {}
                            : {
                                latents: { ...predicted, data: predicted.data.map((x) => x * scale) },
                                predicted: decoded(trained)(executor, predicted),
                              }),
                        }) ?? TE.right(undefined),
                    },
                  ),
                  TE.map(finish),
                ),
            }
          }),
      }
    })

const conditionKind = ({ model: { conditioner }, tokens }: DrawnRun): ConditionKind =>
  conditioner.known?.asks ?? (tokens !== undefined ? 'text' : conditioner.classes === null ? 'none' : 'class')

/** A run that is open as data: a run of its own. */
export const openedOf = (reads: Reads, trained: DrawnRun): Opened => {
  const { experiment: e, model, classes, average, firstStage, diffusion } = trained
  const { sampling } = e
  const side = e.data.size
  const condition = conditionKind(trained)
  const picture = model.conditioner.pictures?.asks
  const weights = { ...asPart(firstStage), ...drawnWeights(diffusion) }
  return {
    kind: 'own',
    describe: {
      name: e.name,
      condition,
      ...(picture === undefined ? {} : { picture }),
      ...(condition === 'class' ? { classes } : {}),
      samplers: samplerNames,
      spacings,
      defaults: {
        steps: stepsOf(sampling, model.config.schedule.timesteps),
        guidance: sampling.guidance,
        sampler: sampling.sampler,
        spacing: sampling.spacing,
        seed: e.seed,
        count: sampling.perClass,
      },
      size: { width: side, height: side },
      maxCount: mostPictures({ width: side, height: side }),
    },
    executor: e.executor,
    notes: average === undefined ? [] : [average],
    prepare: prepare(reads, trained),
    read: (source, at) =>
      e.data.kind === 'segmentation'
        ? TE.fromEither(fail('usage', at, 'a model of pictures in colour', 'one of label maps'))
        : pipe(
            reads.picture(source, side),
            TE.map(({ picture: items }) => items),
          ),
    encode: (executor, pictures) => latentsOfPictures(executor, stagesOf(trained), firstStage, pictures),
    decode: decoded(trained),
    losses: lossesOf(trained),
    parameters: Object.entries(weights).map(([name, { shape, data }]) => ({
      name,
      shape,
      read: TE.fromIO(() => Float32Array.from(data)),
    })),
    dispose: async () => {},
  }
}
