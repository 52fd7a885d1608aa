import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { leafName } from '../../src/declare/index.ts'
import { fillNormal, key, noiseBatch } from '../../src/distributions/random.ts'
import { type Executor, floats, ints, type Value, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { diffusionLoss, latentDiffusion } from '../../src/experiment/diffusion-stage.ts'
import { diffusion, firstStage, training } from '../../src/experiment/document.ts'
import { firstStageLosses } from '../../src/experiment/first-stage.ts'
import { feedTypes, type Graph, inputs, noises, parameters } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { parseSafetensors } from '../../src/io/safetensors.ts'
import { encodeSafetensors } from '../../src/io/safetensors-writer.ts'
import { inMicroBatches, type Loss } from '../../src/losses/index.ts'
import { decode } from '../../src/schema.ts'
import { initialParameters, loadedValues, noiseFeeds, storedValues } from '../../src/train/state.ts'
import { type StepPlan, trainingStep } from '../../src/train/step.ts'
import { grad, trainable } from '../../src/transform/index.ts'
import { frozen } from '../arbitrary/cases.ts'
import { check } from '../arbitrary/check.ts'
import { difference, right, runOn } from '../arbitrary/run.ts'

/** p' = p - gradient */
const bareGradient = { kind: 'sgd', momentum: 0, weightDecay: 0 } as const
const settings = (batchSize: number, optimizer: object = bareGradient, more: object = {}) => ({
  steps: 4,
  batchSize,
  optimizer,
  learningRate: { kind: 'constant', rate: 1 },
  ...more,
})
const pyramid = { channelMultipliers: [1], resBlocks: 1 }
const autoencoder = right(
  decode(firstStage)({
    kind: 'kl',
    network: {
      ...pyramid,
      inChannels: 3,
      outChannels: 3,
      resolution: 4,
      channels: 8,
      normGroups: 4,
      zChannels: 2,
      latentChannels: 2,
    },
    loss: { klWeight: 0.1 },
    training: settings(1),
  }),
)
const latent = right(
  latentDiffusion(
    right(
      decode(diffusion)({
        schedule: { kind: 'linear', timesteps: 20 },
        unet: {
          ...pyramid,
          inChannels: 2,
          outChannels: 2,
          modelChannels: 32,
          attentionFactors: [1],
          heads: { by: 'channels', channels: 16 },
        },
        conditioning: { kind: 'class', dropout: 0.3 },
        elboWeight: 0.5,
        training: settings(1),
      }),
    ),
    autoencoder,
    3,
  ),
)
/** What the library trains, at its smallest: a loss of a batch. */
const models: Readonly<Record<string, (batch: number) => Loss>> = {
  'first stage': (batch) => firstStageLosses(autoencoder, { count: batch }).autoencoder.loss,
  diffusion: (batch) => diffusionLoss(latent, batch),
}
const stepOf = (loss: Loss, batch: number, optimizer?: object, more?: object): StepPlan =>
  right(trainingStep(loss, right(decode(training)(settings(batch, optimizer, more)))))

const normals = (seed: number, length: number): Float32Array => {
  const out = new Float32Array(length)
  fillNormal(key(seed), out)
  return out
}
/** A batch for the inputs that the host does not compute: pictures, latents, labels, the latent scale. */
const batchFeeds = (g: Graph, seed: number): Values =>
  Object.fromEntries(
    inputs(g)
      .filter(({ name }) => !/^(optimizer|ema)\./.test(name))
      .map(({ name, type: { dtype, shape } }): [string, Value] => [
        name,
        dtype === 'int32'
          ? ints(
              shape,
              Int32Array.from({ length: size(shape) }, (_, i) => (seed + i) % 3),
            )
          : floats(shape, normals(seed, size(shape))),
      ]),
  )
/** Weights that are no longer as they began: zeros would hide gradients behind them. */
const weights = (g: Graph, seed: number): Values =>
  Object.fromEntries(
    Object.entries(initialParameters(g, seed)).map(([name, v], i) => [
      name,
      floats(
        v.shape,
        normals(seed + i, size(v.shape)).map((z, j) => 0.05 * z + (v.data[j] ?? 0)),
      ),
    ]),
  )

const gradientsOf = (loss: Loss): Graph => {
  const leaves = trainable(loss.loss)
  const named = grad(loss.loss, leaves).map((g, i): [string, typeof g] => [leafName(leaves[i] ?? g) ?? '', g])
  return frozen(Object.fromEntries(named))
}
const exact = runOn(reference)

/** Rows [from, to) of every leaf that has a row for each sample; the other leaves as they are. */
const rowsOf = (part: Graph, feeds: Values, from: number): Values =>
  Object.fromEntries(
    Object.entries(feedTypes(part)).flatMap(([name, { shape }]) => {
      const whole = feeds[name]
      if (whole === undefined) return []
      const each = size(shape.slice(1))
      const [start, end] = [from * each, from * each + size(shape)]
      if (whole.data.length === size(shape)) return [[name, whole]]
      return [
        [
          name,
          whole.dtype === 'int32'
            ? ints(shape, whole.data.slice(start, end))
            : floats(shape, Float64Array.from(whole.data.slice(start, end))),
        ],
      ]
    }),
  )

describe.each(Object.entries(models))('%s', (_, lossOf) => {
  test('the gradient in micro-batches is that of the batch', () =>
    check(
      fc.asyncProperty(
        fc.constantFrom([1, 2], [2, 2], [1, 3]).map(([rows = 1, parts = 1]) => [rows * parts, parts] as const),
        fc.nat(99),
        async ([n, parts], seed) => {
          const [whole, split] = [gradientsOf(lossOf(n)), gradientsOf(inMicroBatches(parts, n, lossOf))]
          const feeds = { ...weights(whole, seed), ...batchFeeds(whole, seed), ...noiseFeeds(whole, seed, 3) }
          expect(feedTypes(split)).toEqual(feedTypes(whole))
          expect(difference(await exact(split, feeds), await exact(whole, feeds), 1e-11)).toBeUndefined()
        },
      ),
      3,
    ))
  test('a batch split in micro-batches gives the same gradient', () =>
    check(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 3 }).chain((n) => fc.tuple(fc.constant(n), fc.integer({ min: 1, max: n - 1 }))),
        fc.nat(99),
        async ([n, cut], seed) => {
          const whole = gradientsOf(lossOf(n))
          const feeds = { ...weights(whole, seed), ...batchFeeds(whole, seed), ...noiseFeeds(whole, seed, 3) }
          for (const { name, shape, distribution } of noises(whole))
            if (distribution === 'normal') {
              const later = Array.from({ length: n - cut }, (__, i) => cut + i)
              const each = size(shape.slice(1))
              expect(Array.from(feeds[name]?.data ?? []).slice(cut * each)).toEqual(
                Array.from(noiseBatch(seed, 3, name, later, shape.slice(1))),
              )
            }
          const part = async (from: number, to: number): Promise<Values> => {
            const graph = gradientsOf(lossOf(to - from))
            return exact(graph, rowsOf(graph, feeds, from))
          }
          const [all, first, second] = [await exact(whole, feeds), await part(0, cut), await part(cut, n)]
          const mean = Object.fromEntries(
            Object.entries(first).map(([name, a]) => [
              name,
              floats(
                a.shape,
                Float64Array.from(a.data, (x, i) => (cut * x + (n - cut) * (second[name]?.data[i] ?? Number.NaN)) / n),
              ),
            ]),
          )
          expect(difference(all, mean, 1e-11)).toBeUndefined()
        },
      ),
      2,
    ))

  test("the step graph moves parameters by the reference's gradient", () =>
    check(
      fc.asyncProperty(fc.nat(99), async (seed) => {
        const loss = lossOf(2)
        const gradients = gradientsOf(loss)
        const { graph, hostFeeds, initial } = stepOf(loss, 2)
        const own = { ...weights(gradients, seed), ...batchFeeds(graph, seed), ...noiseFeeds(graph, seed, 1) }
        const slopes = await exact(gradients, own)
        const expected = Object.fromEntries(
          Object.entries(slopes).map(([name, g]) => [
            name,
            floats(
              g.shape,
              Float64Array.from(g.data, (d, i) => (own[name]?.data[i] ?? Number.NaN) - d),
            ),
          ]),
        )
        const feeds = { ...initial(seed), ...own, ...hostFeeds(0) }
        expect(Object.keys(expected).toSorted()).toEqual(
          parameters(graph)
            .filter((p) => p.trainable)
            .map((p) => p.name)
            .toSorted(),
        )
        expect(difference(await exact(graph, feeds), expected, 1e-11), 'reference').toBeUndefined()
        expect(difference(await runOn(onnx('cpu'))(graph, feeds), expected, 1e-5), 'onnx:cpu').toBeUndefined()
      }),
      2,
    ))
})

/** The state after steps [from, to). */
const advance = async (
  executor: Executor,
  plan: StepPlan,
  state: Values,
  from: number,
  to: number,
): Promise<Values> => {
  const executable = right(await executor.compile(plan.graph, { mode: 'training' })())
  const stepper = right(await executable.start(plan.carry, state)())
  for (let step = from; step < to; step++)
    right(
      await stepper.step({
        ...plan.hostFeeds(step),
        ...batchFeeds(plan.graph, step),
        ...noiseFeeds(plan.graph, 5, step),
        scale_factor: floats([], Float32Array.of(0.7)),
      })(),
    )
  const found = right(await stepper.read())
  stepper.dispose()
  executable.dispose()
  return found
}
const throughFile = (state: Values): Values =>
  loadedValues(right(parseSafetensors(right(encodeSafetensors(storedValues(state))), 'state')).tensors)
const optimizers = [{ kind: 'adam' }, { kind: 'adamw', betas: [0.5, 0.9] }, { kind: 'sgd', momentum: 0.9 }] as const

describe('resuming equals never having stopped, bit for bit', () => {
  const loss = models.diffusion?.(2)
  test.each(optimizers)('$kind on onnx:cpu, through a file', async (optimizer) => {
    if (loss === undefined) throw new Error('no model')
    const plan = stepOf(loss, 2, optimizer, {
      learningRate: { kind: 'warm-up-cosine', rate: 1e-2, warmUp: 2 },
      emaDecay: 0.9,
      clipNorm: 1,
    })
    const initial = plan.initial(5)
    const straight = await advance(onnx('cpu'), plan, initial, 0, 4)
    for (const stop of [1, 3]) {
      const stopped = throughFile(await advance(onnx('cpu'), plan, initial, 0, stop))
      expect(await advance(onnx('cpu'), plan, stopped, stop, 4)).toEqual(straight)
    }
    expect(difference(straight, initial, 1e-6), 'something was trained').toBeDefined()
  })
})
