import { type Dataset, labelsOf } from '../../data/dataset.ts'
import { bitsPerDim, someTimesteps } from '../../diffusion/bits.ts'
import { type Effect, effect } from '../../error.ts'
import { type Executor, floats, type Values } from '../../execute/executor.ts'
import type { Asked } from '../../experiment/conditioning.ts'
import { bitsProgram, diffusionLeaves, type LatentDiffusion, nullLabel } from '../../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment } from '../../experiment/document.ts'
import { feedTypes, type Graph, noises } from '../../graph/graph.ts'
import { TE } from '../../prelude.ts'
import type { TextReader } from '../../text/prompt.ts'
import { picturesOf, randomOf } from '../data.ts'
import {
  asPart,
  encodePictures,
  type Items,
  joined,
  type Rows,
  range,
  rowsOf,
  using,
  weightsFor,
} from '../inference.ts'
import { knownOf } from '../known.ts'
import { noiseFeeds } from '../state.ts'
import { captionTokens } from '../texts.ts'
import { fedBy } from '../told.ts'
import type { BitsFigures } from './document.ts'

export interface BitsOptions {
  readonly executor: Executor
  /** How many timesteps stand for all. */
  readonly timesteps: number
  readonly seed: number
  readonly onStep: (done: number, of: number) => void
}

export interface Known {
  readonly experiment: Experiment
  readonly model: LatentDiffusion
  readonly firstStage: Values
  readonly state: Values
  readonly scale: number
  readonly tokens?: TextReader
}

/** What a model was trained on: moments of posteriors, latents, or pictures. */
const encoded = ({ executor }: BitsOptions, { experiment, model, firstStage }: Known, heldOut: Dataset): Effect<Rows> =>
  effect(async (run) => {
    const stage = autoencoderOf(experiment)
    if (stage === undefined) return picturesOf(heldOut)
    const parts: Items[] = []
    const take = (made: Items): Effect<void> => TE.fromIO(() => void parts.push(made))
    await run(encodePictures(executor, { stage, latents: model.config.latents }, firstStage, picturesOf(heldOut), take))
    return rowsOf({ n: heldOut.n, shape: parts[0]?.shape ?? [], data: joined(parts.map(({ data }) => data)) })
  })

/** Pictures that are asked about together. */
const together = 16

/** The terms on which bounds are compared. */
export const bitsTerms = ({ model }: Known, timesteps: number): Pick<BitsFigures, 'of' | 'timesteps'> => ({
  of: model.encodes === 'identity' ? 'pixels' : 'latents',
  timesteps: Math.min(timesteps, model.config.schedule.timesteps),
})

/** A posterior is drawn from once; the noise that is mixed in is another at each timestep. */
const drawn = (g: Graph, seed: number, t: number, place: { readonly from: number; readonly batch: number }): Values => {
  const [fixed, fresh] = [noiseFeeds(g, seed, 0, place), noiseFeeds(g, seed, 1 + t, place)]
  return Object.fromEntries(
    noises(g).flatMap(({ name }) => {
      const value = (name === 'eps' ? fresh : fixed)[name]
      return value === undefined ? [] : [[name, value] as const]
    }),
  )
}

/**
 * The variational bound of held-out pictures in bits a dimension (`bitsPerDim`), at timesteps by chance that stand for all. Errors:
 * `config`, a flow.
 */
export const bitsFigures = (known: Known, heldOut: Dataset, o: BitsOptions): Effect<BitsFigures> =>
  effect(async (run) => {
    const { model, state, scale, tokens } = known
    const { conditioner } = model
    const terms = bitsTerms(known, o.timesteps)
    const batch = Math.min(together, heldOut.n)
    const graph = await run(TE.fromEither(bitsProgram(model, batch)))
    const types = feedTypes(graph)
    const constants = weightsFor(graph, { ...state, [diffusionLeaves.scale]: floats([], Float32Array.of(scale)) })
    const moments = await run(encoded(o, known, heldOut))
    const labels = labelsOf(heldOut)
    const random = randomOf(o.seed, 'bits-timesteps')
    const visits = someTimesteps(model.config.schedule.timesteps, terms.timesteps - 1, (i) => random(i) / 2 ** 32)
    // The last batch is filled up with pictures that are not counted twice.
    const batches = range(0, Math.ceil(heldOut.n / batch)).map((b) =>
      range(b * batch, (b + 1) * batch).map((i) => Math.min(heldOut.n - 1, i)),
    )
    const asked: Asked[] = []
    for (const numbers of batches)
      asked.push({
        labels: numbers.map((n) => labels?.[n] ?? nullLabel(model)),
        ...(tokens === undefined ? {} : { tokens: captionTokens(tokens, heldOut)(numbers) }),
        ...knownOf(conditioner, heldOut)(numbers),
        ...(conditioner.pictures === undefined
          ? {}
          : {
              pictures: conditioner.pictures.of(await run(heldOut.read(numbers)), (i) =>
                randomOf(o.seed, 'condition', 'bits', String(numbers[i])),
              ),
            }),
      })
    const told = await run(fedBy(o.executor, { model, graph }, { ...asPart(known.firstStage), ...state }, scale, asked))
    const found = await run(
      using(o.executor, graph, constants, (executable) =>
        effect(async (go) => {
          const all: number[] = []
          for (const [b, numbers] of batches.entries()) {
            const from = b * batch
            const given: Values = {
              ...told[b],
              [diffusionLeaves.moments]: floats([batch, ...moments.shape], await go(moments.read(numbers))),
            }
            const fed = (t: number): Values => ({ ...given, ...drawn(graph, o.seed, t, { from, batch }) })
            const bits = await go(
              bitsPerDim({
                executable,
                items: batch,
                visits,
                feeds: (t) =>
                  Object.fromEntries(Object.entries(fed(t)).filter(([name]) => name in types && !(name in constants))),
                onStep: (done, of) => {
                  o.onStep(b * of + done, batches.length * of)
                  return TE.right(undefined)
                },
              }),
            )
            all.push(...bits.slice(0, Math.min(batch, heldOut.n - from)))
          }
          return all
        }),
      ),
    )
    // Latents have a density, which is that of scaled ones times the scale; levels of pictures have probabilities.
    const unscaled = terms.of === 'pixels' ? 0 : Math.log2(scale)
    return { count: heldOut.n, bound: found.reduce((a, b) => a + b, 0) / found.length - unscaled, ...terms }
  })
