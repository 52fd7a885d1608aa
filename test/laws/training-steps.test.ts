import { describe, expect, test } from 'vitest'
import { fillNormal, key } from '../../src/distributions/random.ts'
import { type Executor, floats, ints, type Value, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { diffusionLoss, latentDiffusion } from '../../src/experiment/diffusion-stage.ts'
import { diffusion, firstStage, training } from '../../src/experiment/document.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { decode } from '../../src/schema.ts'
import { firstStageStep } from '../../src/train/plan.ts'
import { noiseFeeds } from '../../src/train/state.ts'
import { type StepPlan, trainingStep } from '../../src/train/step.ts'
import { everyName, present, tolerances } from '../arbitrary/executors.ts'
import { difference, right } from '../arbitrary/run.ts'

const settings = {
  steps: 4,
  batchSize: 2,
  optimizer: { kind: 'sgd', momentum: 0.9 },
  learningRate: { kind: 'constant', rate: 0.05 },
}
const autoencoder = (more: object, network: object = {}) =>
  right(
    decode(firstStage)({
      kind: 'kl',
      network: {
        inChannels: 3,
        outChannels: 3,
        resolution: 8,
        channels: 16,
        normGroups: 8,
        channelMultipliers: [1, 2],
        resBlocks: 1,
        attention: 'none',
        zChannels: 2,
        latentChannels: 2,
        ...network,
      },
      loss: { klWeight: 1e-3, logvar: { learned: true } },
      training: settings,
      ...more,
    }),
  )
const contest = { factor: { start: 0, unit: 'steps' }, discriminator: { channels: 4, layers: 1 } }
const unet = right(
  latentDiffusion(
    right(
      decode(diffusion)({
        schedule: { kind: 'linear', timesteps: 20 },
        unet: {
          inChannels: 2,
          outChannels: 2,
          modelChannels: 32,
          channelMultipliers: [1, 2],
          resBlocks: 1,
          attentionFactors: [2],
          heads: { by: 'channels', channels: 32 },
        },
        conditioning: { kind: 'class', dropout: 0.3 },
        training: settings,
      }),
    ),
    autoencoder({}),
    3,
  ),
)
/** The autoencoder goes through two resolutions; the contest, which needs larger pictures, through one. */
const plans: Readonly<Record<string, StepPlan>> = {
  'KL autoencoder': right(firstStageStep(autoencoder({}, { resolution: 4 }))),
  'KL-GAN': right(firstStageStep(autoencoder({ adversarial: contest }, { channelMultipliers: [1] }))),
  'U-Net': right(
    trainingStep(diffusionLoss(unet, 2), { ...right(decode(training)(settings)), emaDecay: 0.9, clipNorm: 1 }),
  ),
}

const normals = (seed: number, length: number): Float32Array => {
  const out = new Float32Array(length)
  fillNormal(key(seed), out)
  return out
}
/** Numbers for what is fed at every step: pictures, latents, labels, factors. */
const batchFeeds = ({ graph, initial }: StepPlan, step: number): Values => {
  const carried = initial(1)
  return Object.fromEntries(
    Object.entries(feedTypes(graph))
      .filter(([name]) => !(name in carried))
      .map(([name, { dtype, shape }]): [string, Value] => [
        name,
        dtype === 'int32'
          ? ints(
              shape,
              Int32Array.from({ length: size(shape) }, (_, i) => (step + i) % 3),
            )
          : floats(shape, shape.length === 0 ? Float32Array.of(0.7) : normals(step, size(shape))),
      ]),
  )
}
/** What two steps return, and the state that they leave. */
const trained = async (executor: Executor, plan: StepPlan) => {
  const program = right(await executor.compile(plan.graph, { mode: 'training' })())
  const stepper = right(await program.start(plan.carry, plan.initial(1))())
  const metrics: Values[] = []
  for (const step of [0, 1])
    metrics.push(
      right(
        await stepper.step({
          ...batchFeeds(plan, step),
          ...noiseFeeds(plan.graph, 5, step),
          ...plan.hostFeeds(step),
        })(),
      ),
    )
  const state = right(await stepper.read())
  stepper.dispose()
  program.dispose()
  return { metrics, state }
}

const executors = await present(everyName)
describe.each(Object.entries(plans))('two training steps of a small %s', (_, plan) => {
  const made: { expected?: ReturnType<typeof trained> } = {}
  test.each(executors)('are the reference’s on $name', { timeout: 300_000 }, async ({ name, executor }) => {
    made.expected = made.expected ?? trained(reference, plan)
    const [ours, theirs] = [await trained(executor, plan), await made.expected]
    for (const [i, metrics] of theirs.metrics.entries())
      expect(difference(ours.metrics[i] ?? {}, metrics, tolerances[name].training)).toBeUndefined()
    expect(difference(ours.state, theirs.state, tolerances[name].training)).toBeUndefined()
    expect(difference(theirs.state, plan.initial(1), 1e-3), 'something was trained').toBeDefined()
  })
})
