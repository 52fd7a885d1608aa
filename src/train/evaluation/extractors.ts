import { freeze, input, type Tensor } from '../../declare/index.ts'
import { type Checked, type Effect, effect, failure, type LatentError } from '../../error.ts'
import type { Executor, Values } from '../../execute/executor.ts'
import type { FirstStage } from '../../experiment/document.ts'
import { firstStageLeaves, latentFeaturesGraph } from '../../experiment/first-stage.ts'
import { type Graph, outputTypes, parameters } from '../../graph/graph.ts'
import { float, type Shape, sameShape, showShape } from '../../graph/types.ts'
import { readCheckpointFile } from '../../io/checkpoint-file.ts'
import { countNonFinite } from '../../io/stored.ts'
import { unwrapped } from '../../io/wrapped-names.ts'
import type { Points } from '../../metrics/index.ts'
import { type FeatureNetwork, featureNetworks, flat } from '../../nn/features.ts'
import { resize } from '../../nn/resize.ts'
import { E, flow, identity, pipe, TE } from '../../prelude.ts'
import { optimise } from '../../transform/index.ts'
import { batchFor, mapItems, type Rows, weightsFor } from '../inference.ts'
import { digest } from '../opening.ts'
import { initialValue, loadedValues } from '../state.ts'

/** What pictures are compared by: a graph from pixels to features, with its weights. */
export interface Extractor {
  readonly name: string
  /** Features of another identity are not comparable. */
  readonly identity: string
  readonly dimensions: number
  readonly features: (executor: Executor, pictures: Rows) => Effect<Points>
}

const extractor = (name: string, of: string, graph: Checked<Graph>, weights: Values): Extractor => ({
  name,
  identity: of,
  dimensions: E.isRight(graph) ? (outputTypes(graph.right).features?.shape[1] ?? 0) : 0,
  features: (executor, rows) =>
    pipe(
      mapItems(executor, graph, weights, { leaf: firstStageLeaves.pixels, output: 'features', rows }),
      TE.map(({ n, shape: [dim = 0], data }) => ({ n, dim, data })),
    ),
})

const featuresGraph = (shape: Shape, batch: number, features: (x: Tensor) => Tensor): Checked<Graph> =>
  pipe(
    freeze({ features: features(input(firstStageLeaves.pixels, float(batch, ...shape), 'pixels in [-1, 1]')) }),
    E.map(optimise),
  )

const batch = 32
/** Larger pictures are compared at this size. */
const mostSide = 32

/** The colours themselves. */
export const pixelExtractor = (shape: Shape): Extractor => {
  const [, height = 0, width = 0] = shape
  const side = [Math.min(mostSide, height), Math.min(mostSide, width)] as const
  const small = side[0] === height && side[1] === width ? identity<Tensor> : resize('area', ...side)
  return extractor('pixels', `pixels at ${side.join('x')}`, featuresGraph(shape, batch, flow(small, flat)), {})
}

/** The latents of a first stage. Errors (`usage`): pictures of another shape than it takes. */
export const firstStageExtractor = (
  name: string,
  { stage, state }: { readonly stage: FirstStage; readonly state: Values },
  shape: Shape,
): Checked<Extractor> => {
  const { inChannels, resolution } = stage.network
  const wanted = [inChannels, resolution, resolution]
  const graph = latentFeaturesGraph(stage, batchFor(stage))
  if (!sameShape(wanted, shape))
    return E.left([
      failure('usage', '--features', `pictures of shape ${showShape(wanted)} for ${name}`, showShape(shape)),
    ])
  return pipe(
    graph,
    E.map((g) => extractor(name, `first-stage ${digest(weightsFor(g, state)) ?? ''}`, graph, state)),
  )
}

/** Errors (`file`): what a file lacks, has in another shape or not finite. */
const weightsOf = (path: string, { published }: FeatureNetwork, g: Graph, found: Values): Checked<Values> => {
  const all = parameters(g)
  const wrong = all.flatMap(({ name, shape, init }): readonly LatentError[] => {
    const [called, value] = [published(name), found[published(name)]]
    if (init.kind !== 'loaded') return []
    if (value === undefined || !sameShape(value.shape, shape))
      return [
        failure(
          'file',
          path,
          `${called} of shape ${showShape(shape)}`,
          value === undefined ? 'none' : showShape(value.shape),
        ),
      ]
    return countNonFinite(value.data) > 0
      ? [failure('file', path, `finite numbers in ${called}`, 'NaN or infinity')]
      : []
  })
  const [first, ...rest] = wrong
  return first === undefined
    ? E.right(
        Object.fromEntries(
          all.map((p) => [
            p.name,
            (p.init.kind === 'loaded' ? found[published(p.name)] : undefined) ?? initialValue(0, p),
          ]),
        ),
      )
    : E.left([first, ...rest])
}

/** A published network, known by the names of its weights. Errors: `file`, `usage`. */
export const networkExtractor = (path: string, shape: Shape): Effect<Extractor> =>
  effect(async (run) => {
    const found = loadedValues(unwrapped(await run(readCheckpointFile(path))).arrays)
    const network = featureNetworks.find(({ mark }) => Object.hasOwn(found, mark))
    if (network === undefined)
      return run(
        TE.left([
          failure(
            'file',
            path,
            `weights of ${featureNetworks.map(({ name, mark }) => `${name} (with ${mark})`).join(' or ')}`,
            `${Object.keys(found).slice(0, 3).join(', ')}, ...`,
          ),
        ]),
      )
    if (shape[0] !== 3)
      return run(
        TE.left([failure('usage', '--features', `pictures in 3 colours for ${network.name}`, `${shape[0]} channels`)]),
      )
    const graph = featuresGraph(shape, networkBatch, network.features)
    const weights = await run(
      TE.fromEither(
        pipe(
          graph,
          E.flatMap((g) => weightsOf(path, network, g, found)),
        ),
      ),
    )
    return extractor(network.name, `${network.name} ${digest(weights) ?? ''}`, graph, weights)
  })
/** Pictures that go through a network at a time. */
const networkBatch = 8
