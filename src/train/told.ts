import { type Effect, effect } from '../error.ts'
import { only } from '../execute/carry.ts'
import { type Executor, floats, type Values } from '../execute/executor.ts'
import type { Asked } from '../experiment/conditioning.ts'
import { aheadProgram, diffusionLeaves, type LatentDiffusion } from '../experiment/diffusion-stage.ts'
import { feedTypes, type Graph } from '../graph/graph.ts'
import { TE } from '../prelude.ts'
import { using, weightsFor } from './inference.ts'

/** What a graph is fed of what is asked. */
export const feedsOf = (m: LatentDiffusion, asked: Asked, scale: number): Values => ({
  ...m.conditioner.feeds(asked),
  [diffusionLeaves.scale]: floats([], Float32Array.of(scale)),
})

/** Computes what is computed of batches before a walk, and gives it to `take`, batch by batch. */
export const ahead = (
  executor: Executor,
  graph: Graph,
  state: Values,
  batches: readonly Values[],
  take: (made: Values, batch: number) => Effect<void>,
): Effect<void> => {
  const weights = weightsFor(graph, state)
  const leaves = Object.keys(feedTypes(graph)).filter((name) => !Object.hasOwn(weights, name))
  return using(executor, graph, weights, (executable) =>
    effect(async (run) => {
      for (const [i, values] of batches.entries()) await run(take(await run(executable.run(only(values, leaves))), i))
    }),
  )
}

/** What a walk's graph is fed for batches of what is asked: the leaves themselves, or what is computed of them once before. */
export const fedBy = (
  executor: Executor,
  { model: m, graph: walk }: { readonly model: LatentDiffusion; readonly graph: Graph },
  state: Values,
  scale: number,
  batches: readonly Asked[],
): Effect<readonly Values[]> =>
  effect(async (run) => {
    const fed = batches.map((asked) => feedsOf(m, asked, scale))
    const [first] = batches
    const built = first === undefined ? undefined : aheadProgram(m, first.labels.length, walk)
    const own = (values: Values): Values => only(values, Object.keys(feedTypes(walk)))
    if (built === undefined) return fed.map(own)
    const all: Values[] = []
    const take = (made: Values, i: number): Effect<void> => TE.fromIO(() => void all.push(own({ ...fed[i], ...made })))
    await run(ahead(executor, await run(TE.fromEither(built)), state, fed, take))
    return all
  })
