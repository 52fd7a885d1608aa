import { isTrueOf } from '../../data/read-scene.ts'
import { captionOf } from '../../data/scenes.ts'
import { askedSaying } from '../../data/shapes.ts'
import { type Effect, effect, fail } from '../../error.ts'
import { size } from '../../graph/types.ts'
import { E, TE } from '../../prelude.ts'
import { drawPictures } from '../drawing.ts'
import { range } from '../inference.ts'
import { tokenRows } from '../texts.ts'
import type { Evaluated, EvaluationOptions } from './asked.ts'
import type { CaptionFigures } from './document.ts'

/** How often what is drawn is what the caption says: read from the pixels of generated shapes, where that has one answer. */

/** Captions of pictures that went wrong, as many as one reads. */
const mostNamed = 12

/** What reads captions, where the data's pictures have one answer. Errors (`usage`): other data than shapes, a model that reads no texts. */
export const captionable = ({ experiment: { data }, diffusion }: Evaluated) =>
  data.kind === 'shapes' && diffusion?.tokens !== undefined
    ? E.right({ ...diffusion, tokens: diffusion.tokens })
    : fail(
        'usage',
        '--captions',
        'a model that reads texts, trained on "shapes", whose pictures have one answer',
        diffusion?.tokens === undefined ? 'a model that reads none' : `pictures of "${data.kind}"`,
      )

/**
 * The share of so many generated captions that are true of what is drawn by them: of sorts of things that the data has, and of such as
 * it never has. Errors: those of `captionable`, and of drawing.
 */
export const captionFigures = (
  evaluated: Evaluated,
  count: number,
  { executor, seed, sampling, listener }: EvaluationOptions,
): Effect<CaptionFigures> =>
  effect(async (run) => {
    const { experiment, firstStage } = evaluated
    const { model, state, scale, tokens } = await run(TE.fromEither(captionable(evaluated)))
    const figures = async (unseen: boolean) => {
      const sayings = range(0, count).map((i) => askedSaying(i, unseen))
      const { data: pixels, shape } = await run(
        drawPictures(
          executor,
          { model, stage: experiment.firstStage },
          { firstStage, diffusion: state },
          {
            labels: sayings.map(() => 0),
            tokens: tokenRows(tokens, sayings.map(captionOf)),
            seed,
            sampling,
            scale,
            onStep: ({ done, of }) => TE.fromIO(() => listener.onStep('captions', done + (unseen ? of : 0), 2 * of)),
          },
        ),
      )
      const each = size(shape)
      const view = (i: number) => ({ side: experiment.data.size, data: pixels.subarray(i * each, (i + 1) * each) })
      const wrong = sayings.filter((saying, i) => !isTrueOf(saying, view(i)))
      return { right: count - wrong.length, wrong: wrong.slice(0, mostNamed).map(captionOf) }
    }
    listener.doing('drawing by captions')
    const seen = await figures(false)
    return { count, seed, sampling, seen, unseen: await figures(true) }
  })
