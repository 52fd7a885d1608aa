import { type Effect, effect } from '../error.ts'
import { only } from '../execute/carry.ts'
import { type Executor, floats, type Values } from '../execute/executor.ts'
import type { Asked } from '../experiment/conditioning.ts'
import { aheadProgram, diffusionLeaves, type LatentDiffusion } from '../experiment/diffusion-stage.ts'
import { feedTypes } from '../graph/graph.ts'
import { TE } from '../prelude.ts'
import { using, weightsFor } from './inference.ts'

const feedsOf = (m: LatentDiffusion, asked: Asked, scale: number): Values => ({
  ...m.conditioner.feeds(asked),
  [diffusionLeaves.scale]: floats([], Float32Array.of(scale)),
})

/** What batches of what is asked are fed: the leaves themselves, or what is computed of them once before a walk. */
export const fedBy = (
  executor: Executor,
  m: LatentDiffusion,
  state: Values,
  scale: number,
  batches: readonly Asked[],
): Effect<readonly Values[]> =>
  effect(async (run) => {
    const fed = batches.map((asked) => feedsOf(m, asked, scale))
    const [first] = batches
    const built = first === undefined ? undefined : aheadProgram(m, first.labels.length)
    if (built === undefined) return fed
    const graph = await run(TE.fromEither(built))
    const weights = weightsFor(graph, state)
    const leaves = Object.keys(feedTypes(graph)).filter((name) => !Object.hasOwn(weights, name))
    return run(
      using(executor, graph, weights, (executable) =>
        effect(async (go) => {
          const ahead: Values[] = []
          for (const values of fed) ahead.push({ ...values, ...(await go(executable.run(only(values, leaves)))) })
          return ahead
        }),
      ),
    )
  })
