import { type Checked, collect, type Effect, effect, fail } from '../error.ts'
import { type Executor, floats, type Values } from '../execute/executor.ts'
import type { Asked } from '../experiment/conditioning.ts'
import { diffusionLeaves, diffusionValidation, nullLabel } from '../experiment/diffusion-stage.ts'
import { E, pipe, TE } from '../prelude.ts'
import { encodedPictures } from '../train/encoding.ts'
import type { Metrics } from '../train/events.ts'
import { asPart, batchSize, type Items } from '../train/inference.ts'
import { drawnWeights } from '../train/state.ts'
import { measuring } from '../train/validation.ts'
import { classIndex } from './asked.ts'
import type { DrawnRun } from './drawn-run.ts'

/** What the objective that a run was trained by says of pictures. */

/** What is told of them: one for all, or one for each; nothing where left out. */
export interface ToldOf {
  readonly prompt?: string | readonly string[]
  readonly class?: string | number | readonly (string | number)[]
  readonly seed?: number
}

/** One for each of so many pictures. Errors (`usage`): as many as there are not. */
const each = <A extends string | number>(at: string, given: A | readonly A[], n: number): Checked<readonly A[]> => {
  const all = typeof given === 'object' ? given : Array.from({ length: n }, () => given)
  return all.length === n ? E.right(all) : fail('usage', at, `one, or ${n}, as there are pictures`, `${all.length}`)
}

const numberOf = (classes: readonly string[], one: string | number): Checked<number> =>
  typeof one === 'string'
    ? classIndex(classes, one, 'class')
    : classes[one] === undefined
      ? fail(
          'usage',
          'class',
          classes.length === 0 ? 'no class: the model has none' : `0 to ${classes.length - 1}`,
          `${one}`,
        )
      : E.right(one)

const askedOf = ({ model, classes, tokens }: DrawnRun, { prompt, class: one }: ToldOf, n: number): Checked<Asked> => {
  const { conditioner } = model
  if (conditioner.known !== undefined || conditioner.pictures !== undefined)
    return fail('usage', 'loss', 'a model that is told nothing, a class or a text', 'one that is told more')
  if (prompt !== undefined && tokens === undefined)
    return fail('usage', 'prompt', 'no text: the model reads none', 'one')
  if (one !== undefined && conditioner.classes === null)
    return fail('usage', 'class', 'no class: the model has none', 'one')
  return pipe(
    E.Do,
    E.bind('texts', () => each('prompt', prompt ?? '', n)),
    E.bind('labels', () =>
      one === undefined
        ? E.right(Array.from({ length: n }, () => nullLabel(model)))
        : pipe(
            each<string | number>('class', one, n),
            E.flatMap((all) => collect(all.map((name) => numberOf(classes, name)))),
          ),
    ),
    E.map(({ texts, labels }) => ({
      labels,
      ...(tokens === undefined ? {} : { tokens: Int32Array.from(texts.flatMap((text) => tokens.row(text).ids)) }),
    })),
  )
}

/** Rows of as many numbers each as there are for one of `n`. */
const rowsAt = <A extends { readonly length: number; subarray(from: number, to: number): A }>(
  all: A,
  n: number,
  { from, count }: { readonly from: number; readonly count: number },
): A => all.subarray((from * all.length) / n, ((from + count) * all.length) / n)

/**
 * The loss of each kind, a mean over pictures, at noise and timesteps that the seed and a picture's place say, by the weights that draw.
 * Errors: `usage`, what the model is not told; `run`.
 */
export const lossesOf =
  (run: DrawnRun) =>
  (executor: Executor, pictures: Items, told: ToldOf): Effect<Metrics> =>
    effect(async (go) => {
      const { experiment, model, scale, firstStage, diffusion } = run
      const { n } = pictures
      const asked = await go(TE.fromEither(askedOf(run, told, n)))
      const moments = await go(encodedPictures(executor, { model, stage: experiment.firstStage }, firstStage, pictures))
      const feeds = (places: readonly number[]): Values => {
        const at = { from: places[0] ?? 0, count: places.length }
        const { tokens } = asked
        return {
          [diffusionLeaves.moments]: floats([at.count, ...moments.shape], rowsAt(moments.data, n, at)),
          [diffusionLeaves.scale]: floats([], Float32Array.of(scale)),
          ...model.conditioner.feeds({
            labels: Array.from(asked.labels).slice(at.from, at.from + at.count),
            ...(tokens === undefined ? {} : { tokens: rowsAt(tokens, n, at) }),
          }),
        }
      }
      const { measure, dispose } = measuring(executor, {
        n,
        batch: Math.min(n, batchSize),
        seed: told.seed ?? experiment.seed,
        graph: (count) => diffusionValidation(model, count),
        feeds: (places) => TE.right(feeds(places)),
        frozen: asPart(firstStage),
      })
      const measured = await measure(drawnWeights(diffusion))()
      dispose()
      return Object.fromEntries(
        Object.entries(await go(TE.fromEither(measured))).map(([name, value]) => [name.replace(/^val\//, ''), value]),
      )
    })
