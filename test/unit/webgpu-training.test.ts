import { expect, test } from 'vitest'
import { fillNormal, fold, key } from '../../src/distributions/random.ts'
import { type Executor, floats, ints, type Value } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { size, type TensorType } from '../../src/graph/types.ts'
import { TE } from '../../src/prelude.ts'
import { planExperiment, stagesOf } from '../../src/train/plan.ts'
import { noiseFeeds } from '../../src/train/state.ts'
import type { StepPlan } from '../../src/train/step.ts'
import { suiteOn } from '../arbitrary/executors.ts'
import { right } from './onnx-support.ts'

const seed = 3
const steps = 6
/** Of one loss on two devices, relative: float32's rounding, and what six updates make of it. */
const tolerance = 1e-5

/** graphs/tiny.json made small: a software GPU builds each of its shaders for seconds. */
const tiny = [
  '/data/size=8',
  '/firstStage/network/resolution=8',
  '/firstStage/network/channelMultipliers=[1]',
  '/firstStage/training/batchSize=2',
  '/diffusion/unet/channelMultipliers=[1]',
  '/diffusion/unet/attentionFactors=[1]',
  '/diffusion/training/batchSize=2',
]

/** The same batch at every step: normal numbers, class 1, a scale of 1. */
const batch = (name: string, { dtype, shape }: TensorType): Value => {
  if (dtype !== 'float32') return ints(shape, new Int32Array(size(shape)).fill(1))
  const data = new Float32Array(size(shape)).fill(1)
  if (shape.length > 0) fillNormal(fold(key(seed), name), data)
  return floats(shape, data)
}

const losses = async (
  executor: Executor,
  { graph, carry, initial, hostFeeds }: StepPlan,
): Promise<readonly number[]> => {
  const program = right(await executor.compile(graph, { mode: 'training' })())
  const stepper = right(await program.start(carry, initial(seed))())
  const carried = new Set(Object.values(carry))
  const fed = Object.entries(feedTypes(graph)).filter(([name]) => !carried.has(name))
  const pictures = Object.fromEntries(fed.map(([name, type]) => [name, batch(name, type)]))
  const found: number[] = []
  for (let step = 0; step < steps; step++) {
    const { loss } = right(await stepper.step({ ...pictures, ...hostFeeds(step), ...noiseFeeds(graph, seed, step) })())
    found.push(loss?.data[0] ?? Number.NaN)
  }
  stepper.dispose()
  program.dispose()
  return found
}

const experiment = right(await loadExperiment('graphs/tiny.json', tiny)())
const stages = stagesOf(right(await TE.fromEither(planExperiment(experiment, 8))()))
await suiteOn('onnx:webgpu', 'a short training on onnx:webgpu', (webgpu) => {
  test.each(stages.map((s) => [s.name, s.step] as const))(
    'has the losses of onnx:cpu: %s',
    async (_, plan) => {
      const [ours, native] = [await losses(webgpu, plan), await losses(onnx('cpu'), plan)]
      expect(new Set(native).size).toBe(steps)
      const apart = native.map((loss, i) => Math.abs((ours[i] ?? Number.NaN) / loss - 1))
      for (const error of apart) expect(error).toBeLessThan(tolerance)
    },
    600_000,
  )
})
