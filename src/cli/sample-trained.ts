import { type Checked, type Effect, effect, fail } from '../error.ts'
import { inHalf } from '../execute/in-half.ts'
import { type Sampling, saysSampling } from '../experiment/sampling.ts'
import { E, TE } from '../prelude.ts'
import { drawPictures } from '../train/drawing.ts'
import { progress } from '../train/progress.ts'
import { requestedOf } from './asked.ts'
import { conditionOf } from './condition-picture.ts'
import { checkPictureCount } from './picture-count.ts'
import { writeDrawn } from './picture-file.ts'
import { begin } from './sample-from.ts'
import { type Options, type SamplingOptions, withSampling } from './sample-options.ts'
import { chooseExecutor } from './session.ts'
import type { Terminal } from './terminal.ts'
import { openRun } from './trained-run.ts'

/** `sample` of a run of one's own. */

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

/** Draws what the options ask for, and writes the picture. */
export const sampleTrained = (dir: string, options: Options, terminal: Terminal): Effect<readonly string[]> =>
  effect(async (go) => {
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
    const columns = kinds === 1 && (options.class ?? options.prompt?.[0]) !== undefined ? Math.min(each, 8) : each
    const { size } = trained.experiment.data
    await go(checkPictureCount(options.out, { n: kinds * each, height: size, width: size }, columns))
    const condition = await go(conditionOf(model.conditioner, options, asked.labels.length))
    const { pictures: told, rest } = condition
    for (const note of [...notes, ...(condition.note === undefined ? [] : [condition.note])]) terminal.err(`${note}\n`)
    const choice = await go(chooseExecutor(options.executor ?? executor))
    const chosen = options.precision === 'float32' ? choice.executor : inHalf(options.precision)(choice.executor)
    const { from, finish, says } = await go(begin(chosen, trained, experiment, rest, { asked, each, seed, shown }))
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
    return go(writeDrawn(options.out, finish(pictures), { columns, seed }))
  })
