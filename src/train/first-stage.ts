import { join } from 'node:path'
import { batchesOf } from '../data/batches.ts'
import { type Dataset, flipHorizontal, gather } from '../data/dataset.ts'
import { effect } from '../error.ts'
import { floats, type Values } from '../execute/executor.ts'
import type { Experiment, Training } from '../experiment/document.ts'
import { firstStageLeaves } from '../experiment/first-stage.ts'
import { temperatureAt, temperatureLeaf } from '../experiment/quantize.ts'
import { feedTypes, type Graph } from '../graph/graph.ts'
import { weightAt } from '../losses/index.ts'
import { itemsOf, randomOf } from './data.ts'
import { drawPrior, reconstruct } from './inference.ts'
import { heldOutLayout, previewPath, writePictures, writeReconstructions } from './pictures.ts'
import type { Plan } from './plan.ts'
import { type RunOptions, runStage } from './stage.ts'

const flipped = (training: Training, seed: number, batch: Float32Array, width: number, step: number): Float32Array => {
  if (!training.flip) return batch
  const random = randomOf(seed, 'flip', String(step))
  return flipHorizontal(
    batch,
    width,
    Array.from({ length: training.batchSize }, (_, i) => random(i) < 2 ** 31),
  )
}

/** Schedules that a step of the first stage is fed, where it asks for them. */
const scheduled = ({ firstStage }: Experiment, pictures: number, graph: Graph) => {
  const { adversarial, training } = firstStage
  const wanted = feedTypes(graph)
  return (step: number): Values => {
    const samples = step * training.batchSize
    const numbers = {
      [firstStageLeaves.factor]:
        adversarial === undefined
          ? 0
          : weightAt(adversarial.factor)({ steps: step, epochs: Math.floor(samples / pictures), samples }),
      [temperatureLeaf]: firstStage.kind === 'vq' ? temperatureAt(firstStage.quantizer, step) : 1,
    }
    return Object.fromEntries(
      Object.entries(numbers).flatMap(([name, x]) =>
        name in wanted ? [[name, floats([], Float32Array.of(x))] as const] : [],
      ),
    )
  }
}

export const trainFirstStage = (
  e: Experiment,
  o: RunOptions,
  plan: Plan,
  data: { readonly train: Dataset; readonly heldOut: Dataset },
  constants: Values,
) => {
  const { training } = e.firstStage
  const batches = batchesOf(data.train.n, training.batchSize, randomOf(e.seed, 'batches', 'first-stage'))
  const shown = itemsOf(data.heldOut)
  const shape = [training.batchSize, ...shown.shape]
  const schedules = scheduled(e, data.train.n, plan.firstStage.step.graph)
  return runStage(e, o, {
    stage: plan.firstStage,
    training,
    constants,
    batch: (step) => ({
      ...schedules(step),
      [firstStageLeaves.pixels]: floats(
        shape,
        flipped(training, e.seed, gather(data.train, batches(step)), data.train.width, step),
      ),
    }),
    preview: (done, state) =>
      effect(async (run) => {
        const { n, columns } = heldOutLayout(shown.n)
        const as = { columns, seed: e.seed }
        const inputs = { ...shown, n }
        const dir = join(o.dir, plan.firstStage.name)
        const made = await run(reconstruct(o.executor, e.firstStage, state, inputs))
        await run(writeReconstructions(previewPath(dir, done, 'inputs-and-reconstructions'), inputs, made, as))
        const drawn = await run(drawPrior(o.executor, e.firstStage, state, { n, seed: e.seed }))
        await run(writePictures(previewPath(dir, done, 'prior-samples'), drawn, as))
      }),
  })
}
