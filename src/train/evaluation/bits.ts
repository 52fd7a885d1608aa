import type { Dataset } from '../../data/dataset.ts'
import { labelsOf } from '../../data/dataset.ts'
import { bitsPerDim, someTimesteps } from '../../diffusion/bits.ts'
import { noiseBatch } from '../../distributions/random.ts'
import { type Effect, effect } from '../../error.ts'
import { type Executor, floats, type Values } from '../../execute/executor.ts'
import { diffusionBits, type LatentDiffusion } from '../../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment } from '../../experiment/document.ts'
import { feedTypes } from '../../graph/graph.ts'
import { size } from '../../graph/types.ts'
import { TE } from '../../prelude.ts'
import { picturesOf, randomOf } from '../data.ts'
import { encodePictures, type Items, using, weightsFor } from '../inference.ts'
import type { BitsFigures } from './document.ts'

export interface BitsOptions {
  readonly executor: Executor
  /** How many timesteps stand for all. */
  readonly timesteps: number
  readonly seed: number
  readonly onStep: (done: number, of: number) => void
}

/** What a model was trained on: of posteriors their means. */
const encoded = (
  { executor }: BitsOptions,
  { experiment, model, firstStage }: Known,
  heldOut: Dataset,
): Effect<Float32Array> =>
  effect(async (run) => {
    const stage = autoencoderOf(experiment)
    const each = size(model.latent)
    const all = new Float32Array(heldOut.n * each)
    if (stage === undefined) return run(picturesOf(heldOut).read(Array.from({ length: heldOut.n }, (_, i) => i)))
    const put: { at: number } = { at: 0 }
    const take = ({ n, shape, data }: Items): Effect<void> =>
      TE.fromIO(() => {
        for (let i = 0; i < n; i++) {
          all.set(data.subarray(i * size(shape), i * size(shape) + each), put.at)
          put.at += each
        }
      })
    await run(encodePictures(executor, { stage, latents: model.config.latents }, firstStage, picturesOf(heldOut), take))
    return all
  })

export interface Known {
  readonly experiment: Experiment
  readonly model: LatentDiffusion
  readonly firstStage: Values
  readonly state: Values
  readonly scale: number
}

/** Pictures that are asked about together. */
const together = 16

/** Which levels there are is known of pictures that are not scaled. */
const boundOf = ({ model, scale }: Known): BitsFigures['of'] =>
  model.encodes === 'identity' && scale === 1 ? 'pixels' : 'latents'

/** The terms on which bounds are compared. */
export const bitsTerms = (known: Known, timesteps: number): Pick<BitsFigures, 'of' | 'timesteps'> => ({
  of: boundOf(known),
  timesteps: Math.min(timesteps, known.model.config.schedule.timesteps),
})

/**
 * The variational bound of held-out pictures in bits a dimension (`bitsPerDim`), at timesteps by chance that stand for all. Errors:
 * `config`, a flow.
 */
export const bitsFigures = (known: Known, heldOut: Dataset, o: BitsOptions): Effect<BitsFigures> =>
  effect(async (run) => {
    const { model, state, scale } = known
    const terms = bitsTerms(known, o.timesteps)
    const decoder = terms.of === 'pixels' ? 'pixels' : 'density'
    const batch = Math.min(together, heldOut.n)
    const graph = await run(TE.fromEither(diffusionBits(model, decoder, batch)))
    const types = feedTypes(graph)
    const data = await run(encoded(o, known, heldOut))
    const x0 = Float32Array.from(data, (x) => x * scale)
    const [each, labels] = [size(model.latent), labelsOf(heldOut)]
    const random = randomOf(o.seed, 'bits-timesteps')
    const visits = someTimesteps(model.config.schedule.timesteps, terms.timesteps - 1, (i) => random(i) / 2 ** 32)
    const batches = Math.ceil(heldOut.n / batch)
    const found = await run(
      using(o.executor, graph, weightsFor(graph, state), (executable) =>
        effect(async (go) => {
          const all: number[] = []
          for (let b = 0; b < batches; b++) {
            const numbers = Array.from({ length: batch }, (_, i) => Math.min(heldOut.n - 1, b * batch + i))
            const rows = new Float32Array(batch * each)
            numbers.forEach((n, i) => {
              rows.set(x0.subarray(n * each, (n + 1) * each), i * each)
            })
            const condition = model.conditioner.pictures
            const feeds = model.conditioner.feeds({
              labels: numbers.map((n) => labels?.[n] ?? 0),
              ...(condition === undefined
                ? {}
                : { pictures: condition.of((await go(heldOut.read(numbers))).pictures) }),
            })
            const bits = await go(
              bitsPerDim({
                executable,
                x0: floats([batch, ...model.latent], rows),
                noiseOf: (t) => floats([batch, ...model.latent], noiseBatch(o.seed, t, 'bits', numbers, model.latent)),
                visits,
                feeds: Object.fromEntries(Object.entries(feeds).filter(([name]) => name in types)),
                onStep: (done, of) => {
                  o.onStep(b * of + done, batches * of)
                  return TE.right(undefined)
                },
              }),
            )
            all.push(...bits.slice(0, Math.min(batch, heldOut.n - b * batch)))
          }
          return all
        }),
      ),
    )
    return { count: heldOut.n, bound: found.reduce((a, b) => a + b, 0) / found.length, ...terms }
  })
