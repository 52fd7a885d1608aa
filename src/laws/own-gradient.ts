import fc from 'fast-check'
import { freeze, leafName, type Tensor } from '../declare/index.ts'
import { fillNormal, fold, key } from '../distributions/random.ts'
import { type Checked, type Effect, effect } from '../error.ts'
import { type Executor, emptyValue, floats, type Values } from '../execute/executor.ts'
import { diffusionLoss, latentDiffusion } from '../experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment, type FirstStage } from '../experiment/document.ts'
import { firstStageLosses } from '../experiment/first-stage.ts'
import { diffusedOf } from '../experiment/space.ts'
import { cost } from '../graph/cost.ts'
import { feedTypes, type Graph } from '../graph/graph.ts'
import { size } from '../graph/types.ts'
import { E, pipe, TE } from '../prelude.ts'
import { noiseFeeds } from '../train/state.ts'
import { grad, optimise, trainable } from '../transform/index.ts'
import { type Law, law } from './law.ts'
import { compared } from './numbers.ts'

/** An experiment's own losses, through its own networks: their gradients against differences, on one small picture. */

/** Operations of a loss that float64 has done in seconds. */
const mostFlops = 1e9
const step = 1e-5
const gradientOf = (leaf: string): string => `gradient of ${leaf}`

/** Pictures as small as the networks take them. */
const shrunk = (e: Experiment): Experiment => {
  const unet = 2 ** (e.diffusion?.unet.channelMultipliers.length ?? 1)
  if (e.firstStage.kind === 'identity') return { ...e, data: { ...e.data, size: Math.min(e.data.size, unet) } }
  const { network } = e.firstStage
  const side = Math.min(network.resolution, unet * 2 ** (network.channelMultipliers.length - 1))
  const small = <S extends FirstStage>(stage: S): S => ({ ...stage, network: { ...stage.network, resolution: side } })
  return { ...e, data: { ...e.data, size: side }, firstStage: small(e.firstStage) }
}

const random = (seed: number, name: string, count: number): Float64Array => {
  const out = new Float64Array(count)
  fillNormal(fold(key(seed), name), out)
  return out
}

interface Programs {
  readonly leaves: readonly string[]
  readonly loss: Graph
  readonly gradients: Graph
}
const programsOf = (loss: Tensor): Checked<Programs> => {
  const wrt = trainable(loss)
  const leaves = wrt.map((p) => leafName(p) ?? '')
  const gradients = Object.fromEntries(grad(loss, wrt).map((g, i) => [gradientOf(leaves[i] ?? ''), g] as const))
  return pipe(
    E.Do,
    E.bind('loss', () => pipe(freeze({ loss }), E.map(optimise))),
    E.bind('gradients', () => pipe(freeze({ loss, ...gradients }), E.map(optimise))),
    E.map((graphs) => ({ ...graphs, leaves })),
  )
}

/** Everything that a loss is fed, drawn by a seed: parameters, pictures, noise; labels and tokens are 0. */
const feedsOf = (graph: Graph, seed: number): Values => ({
  ...Object.fromEntries(
    Object.entries(feedTypes(graph)).map(([leaf, { dtype, shape }]) => [
      leaf,
      dtype === 'int32'
        ? emptyValue(dtype, shape, size(shape))
        : floats(
            shape,
            random(seed, leaf, size(shape)).map((x) => 0.3 * x),
          ),
    ]),
  ),
  ...noiseFeeds(graph, seed, 0),
})

const run = (executor: Executor, graph: Graph, feeds: Values): Effect<Values> =>
  TE.bracket(
    executor.compile(graph, { mode: 'training' }),
    (x) => x.run(feeds),
    (x) => TE.fromIO(x.dispose),
  )

/** The slope along random directions of some parameters, by the gradients and by differences. */
const slopes = (
  executor: Executor,
  { loss, gradients, leaves }: Programs,
  seed: number,
  among: readonly string[] = leaves,
): Effect<{ readonly ours: number; readonly differences: number }> =>
  effect(async (go) => {
    const feeds = feedsOf(gradients, seed)
    const found = await go(run(executor, gradients, feeds))
    const direction = new Map(
      among.map((leaf) => [leaf, random(seed + 1, leaf, feeds[leaf]?.data.length ?? 0)] as const),
    )
    const moved = (h: number): Values => ({
      ...feeds,
      ...Object.fromEntries(
        [...direction].flatMap(([leaf, d]) => {
          const at = feeds[leaf]
          return at === undefined
            ? []
            : [
                [
                  leaf,
                  floats(
                    at.shape,
                    d.map((x, i) => (at.data[i] ?? 0) + h * x),
                  ),
                ] as const,
              ]
        }),
      ),
    })
    const value = async (h: number): Promise<number> =>
      (await go(run(executor, loss, moved(h)))).loss?.data[0] ?? Number.NaN
    const ours = [...direction].reduce((sum, [leaf, d]) => {
      const g = found[gradientOf(leaf)]?.data
      return d.reduce((s, x, i) => s + x * (g?.[i] ?? 0), sum)
    }, 0)
    return { ours, differences: ((await value(step)) - (await value(-step))) / (2 * step) }
  })

const gradientLaw = (name: string, loss: Tensor): Checked<readonly Law[]> =>
  pipe(
    programsOf(loss),
    E.map((programs) => {
      if (cost(programs.gradients).flops > mostFlops) return []
      return [
        law({
          name,
          equation: '<grad L(p), d> = (L(p + h d) - L(p - h d)) / 2 h, for random d',
          source: 'calculus; on one picture, as small as the networks take it',
          tolerance: { float64: 1e-5, float32: 1e-1 },
          runs: 2,
          arbitrary: fc.noShrink(fc.integer({ min: 0, max: 2 ** 20 })),
          deviation: (seed, { executor }) =>
            pipe(
              slopes(executor, programs, seed),
              TE.map(({ ours, differences }) => Math.abs(ours - differences) / Math.max(1, Math.abs(differences))),
            ),
          tells: (seed, { executor }) =>
            effect(async (go) => {
              const lines: string[] = []
              for (const leaf of programs.leaves) {
                if (lines.length >= mostNamed) break
                const { ours, differences } = await go(slopes(executor, programs, seed, [leaf]))
                if (Math.abs(ours - differences) > 1e-5 * Math.max(1, Math.abs(differences)))
                  lines.push(leaf, compared('  slope', differences, ours))
              }
              return lines
            }),
        }),
      ]
    }),
  )
/** Lines of parameters whose gradients are wrong. */
const mostNamed = 6

const told: readonly string[] = ['none', 'class', 'text']

/**
 * The gradients of an experiment's losses: of the first stage without its discriminator and networks that are read from files, of the diffusion
 * model where nothing of it comes from elsewhere. None of networks too large to be run here, nor of losses that are more than their gradient:
 * codes that jump, a variance that is learnt. Errors (`config`, `shape`): networks that cannot be.
 */
export const ownGradientLaws = (whole: Experiment): Checked<readonly Law[]> => {
  const e = shrunk(whole)
  const { diffusion, own } = e
  const stage = autoencoderOf(e)
  const first =
    stage?.kind !== 'kl' || own !== undefined || (stage.loss.perceptual?.weight ?? 0) > 0
      ? E.right([])
      : pipe({ ...stage, training: { ...stage.training, microBatches: 1 } }, ({ adversarial: _, ...alone }) =>
          gradientLaw(
            'the first stage has the gradient that differences have',
            firstStageLosses(alone, { count: 1 }).autoencoder.loss.loss,
          ),
        )
  const second =
    diffusion === undefined ||
    own !== undefined ||
    diffusion.adapter !== undefined ||
    diffusion.variance.kind === 'learned' ||
    !told.includes(diffusion.conditioning.kind) ||
    'from' in diffusion.conditioning
      ? E.right([])
      : pipe(
          latentDiffusion(diffusion, diffusedOf(e), 2),
          E.flatMap((model) =>
            gradientLaw('the diffusion model has the gradient that differences have', diffusionLoss(model, 1).loss),
          ),
        )
  return pipe(
    E.Do,
    E.bind('a', (): Checked<readonly Law[]> => first),
    E.bind('b', (): Checked<readonly Law[]> => second),
    E.map(({ a, b }) => [...a, ...b]),
  )
}
