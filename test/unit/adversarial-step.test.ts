import { describe, expect, test } from 'vitest'
import {
  add,
  freeze,
  input,
  leafName,
  mul,
  parameter,
  scalar,
  shared,
  square,
  sum,
  type Tensor,
} from '../../src/declare/index.ts'
import { fillNormal, key } from '../../src/distributions/random.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { firstStage } from '../../src/experiment/document.ts'
import { firstStageLeaves, firstStageLosses, firstStageStart } from '../../src/experiment/first-stage.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes, type Graph, parameters } from '../../src/graph/graph.ts'
import type { OpKind } from '../../src/graph/ops.ts'
import { size } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { firstStageStep, modelParameters, planExperiment } from '../../src/train/plan.ts'
import { noiseFeeds } from '../../src/train/state.ts'
import { type StepPlan, stepOfTurns } from '../../src/train/step.ts'
import { grad, lint, optimise, substitution } from '../../src/transform/index.ts'
import { difference, right, runOn } from '../arbitrary/run.ts'

const batch = 2
const network = {
  inChannels: 3,
  outChannels: 3,
  resolution: 16,
  channels: 32,
  channelMultipliers: [1, 2],
  resBlocks: 1,
  attention: 'none',
  zChannels: 2,
  latentChannels: 2,
}
const judge = { channels: 4, layers: 2 }
const kinds = {
  kl: { loss: { klWeight: 1e-3, logvar: { learned: true } }, network },
  vq: { loss: {}, quantizer: { kind: 'nearest', entries: 8 }, network: { ...network, doubleZ: false } },
  gumbel: { loss: {}, quantizer: { kind: 'gumbel', entries: 8 }, network: { ...network, doubleZ: false } },
} as const
interface Settings {
  readonly kind?: keyof typeof kinds
  readonly adversarial?: object
  readonly perceptual?: number
  readonly optimizer?: object
  readonly rate?: number
}
const stageOf = ({ kind = 'kl', adversarial, perceptual = 0, rate = 1e-3, ...more }: Settings) =>
  right(
    decode(firstStage)({
      kind: kind === 'kl' ? 'kl' : 'vq',
      ...kinds[kind],
      loss: { ...kinds[kind].loss, perceptual: { weight: perceptual, files: ['vgg.pth'] } },
      training: {
        steps: 8,
        batchSize: batch,
        optimizer: more.optimizer ?? { kind: 'adam', betas: [0.5, 0.9] },
        learningRate: { kind: 'constant', rate },
      },
      ...(adversarial === undefined
        ? {}
        : { adversarial: { factor: { start: 0, unit: 'steps' }, discriminator: judge, ...adversarial } }),
    }),
  )
const planOf = (s: Settings): StepPlan => right(firstStageStep(stageOf(s)))

const count = (op: OpKind, { nodes }: Graph): number => nodes.filter((n) => n.op === op).length
const convolutions = (g: Graph, scope: RegExp): number =>
  parameters(g).filter(({ name, shape }) => scope.test(name) && shape.length === 4).length

describe.each([1, 0.5])('the compiled step, simultaneous, with weight %d', (weight) => {
  const { graph } = planOf({ adversarial: { generator: { weight } }, perceptual: 1 })
  const autoencoder = convolutions(graph, /^(encoder|decoder|quant_conv|post_quant_conv)\./)
  const discriminator = convolutions(graph, /^loss\.discriminator\./)
  const [trunk, heads] = [13, 5]
  test('passes forward once', () => {
    expect(discriminator).toBe(4)
    expect(count('conv2d', graph)).toBe(autoencoder + 2 * discriminator + 2 * trunk + heads)
  })
  test('walks back once through LPIPS, decoder and encoder, and once for each pass of the discriminator', () => {
    // The discriminator's own turn needs no gradient at the pictures; the encoder's first convolution none either.
    const judged = discriminator + 2 * (discriminator - 1)
    expect(count('convInputGrad', graph)).toBe(autoencoder - 1 + trunk + heads + judged)
    // The decoder's last weight has three: for both norms, and for its update.
    expect(count('convWeightGrad', graph)).toBe(autoencoder + 2 + 2 * discriminator)
  })
  test('alternating has a second forward pass, and no further walk', () => {
    const second = planOf({ adversarial: { generator: { weight }, order: 'alternating' }, perceptual: 1 }).graph
    expect(count('conv2d', second) - count('conv2d', graph)).toBe(autoencoder + discriminator)
    expect(count('convInputGrad', second)).toBe(count('convInputGrad', graph))
    expect(count('convWeightGrad', second)).toBe(count('convWeightGrad', graph))
  })
})

const pictures = (seed: number) => {
  const shape = [batch, 3, 16, 16]
  const out = new Float32Array(size(shape))
  fillNormal(key(seed), out)
  return floats(shape, out)
}
const one = (x: number) => floats([], Float32Array.of(x))
const feedsFor = (graph: Graph, step: number, factor: number): Values => {
  const all: Values = {
    ...noiseFeeds(graph, 7, step),
    [firstStageLeaves.pixels]: pictures(step),
    [firstStageLeaves.factor]: one(factor),
    temperature: one(1),
  }
  const wanted = feedTypes(graph)
  return Object.fromEntries(Object.entries(all).filter(([name]) => name in wanted))
}

describe('one walk back', () => {
  const stage = stageOf({ adversarial: {}, optimizer: { kind: 'sgd' }, rate: 1 })
  const plan = right(firstStageStep(stage))
  const losses = shared(firstStageLosses)
  const { autoencoder } = losses(stage, { count: batch })
  const plain = losses(stageOf({}), { count: batch }).autoencoder.loss
  const names = autoencoder.parameters.map((p) => leafName(p) ?? '')
  const graphOf = (outputs: Readonly<Record<string, Tensor>>) => optimise(right(freeze(outputs)))
  const g = autoencoder.loss.log.g_loss ?? scalar(0)
  const lastLayer = autoencoder.parameters.filter((p) => leafName(p) === 'decoder.conv_out.weight')
  const norm = (loss: Tensor) => graphOf({ norm: pipe(grad(loss, lastLayer)[0] ?? loss, square, sum()) })
  const weight = input('weight', { dtype: 'float32', shape: [] })
  const update = grad(pipe(plain.loss, add(pipe(g, mul(weight)))), autoencoder.parameters)
  const walks = {
    nll: norm(plain.log.nll_loss ?? scalar(0)),
    g: norm(g),
    update: graphOf(Object.fromEntries(update.map((x, i) => [names[i] ?? '', x]))),
  }
  test("is the reference's three", async () => {
    const run = runOn(onnx('cpu'))
    const feeds = { ...plan.initial(3), ...feedsFor(plan.graph, 0, 0.7), ...plan.hostFeeds(0) }
    const length = async (graph: Graph) => Math.sqrt((await run(graph, feeds)).norm?.data[0] ?? Number.NaN)
    const ratio = (await length(walks.nll)) / ((await length(walks.g)) + 1e-4)
    const factor = feeds[firstStageLeaves.factor]?.data[0] ?? Number.NaN
    const fed = floats([], Float64Array.of(factor * ratio))
    const expected = await run(walks.update, { ...feeds, weight: fed })
    const stepped = await run(plan.graph, feeds)
    const moved = Object.fromEntries(
      names.flatMap((name) => {
        const [before, after] = [feeds[name], stepped[name]]
        if (before === undefined || after === undefined) return []
        return [
          [
            name,
            floats(
              before.shape,
              Float64Array.from(before.data, (x, i) => x - (after.data[i] ?? 0)),
            ),
          ] as const,
        ]
      }),
    )
    expect(ratio).toBeGreaterThan(0.1)
    expect(difference(moved, expected, 2e-4)).toBeUndefined()
  })
})

describe('training over the start of the contest', () => {
  /** Of kind, order, loss and norm every two choices meet. */
  test.each([
    ['kl', 'simultaneous', 'hinge', 'batch'],
    ['kl', 'alternating', 'vanilla', 'act'],
    ['vq', 'simultaneous', 'vanilla', 'act'],
    ['vq', 'alternating', 'hinge', 'batch'],
    ['gumbel', 'simultaneous', 'vanilla', 'batch'],
    ['gumbel', 'alternating', 'hinge', 'act'],
  ] as const)('%s, %s, %s loss, %s norm: every number stays finite', async (kind, order, loss, norm) => {
    const stage = stageOf({
      kind,
      adversarial: { order, loss, discriminator: { ...judge, norm }, generator: { smoothing: 0.5 } },
    })
    const plan = right(firstStageStep(stage))
    expect(lint(plan.declared, plan.intent)).toEqual([])
    const initial = plan.initial(1)
    const start = right(firstStageStart(stage, { count: batch }))
    const set =
      start === undefined ? {} : await runOn(onnx('cpu'))(start, { ...initial, ...feedsFor(plan.graph, 0, 0) })
    const executable = right(await onnx('cpu').compile(plan.graph, { mode: 'training' })())
    const stepper = right(await executable.start(plan.carry, { ...initial, ...set })())
    const losses: number[] = []
    for (let step = 0; step < 8; step++) {
      const feeds = { ...plan.hostFeeds(step), ...feedsFor(plan.graph, step, step < 4 ? 0 : 1) }
      const found = right(await stepper.step(feeds)())
      for (const [name, { data }] of Object.entries(found))
        expect(Number.isFinite(data[0]), `${step} ${name}`).toBe(true)
      losses.push(found.discriminator_loss?.data[0] ?? Number.NaN)
    }
    const state = right(await stepper.read())
    stepper.dispose()
    executable.dispose()
    const finite = Object.entries(state).filter(([, { data }]) => data.every((x) => Number.isFinite(x)))
    expect(finite.length).toBe(Object.keys(state).length)
    expect(losses.slice(0, 4)).toEqual([0, 0, 0, 0])
    expect(losses.slice(4).every((x) => x > 0)).toBe(true)
    const held = (suffix: string) =>
      Object.entries(state).flatMap(([name, { data }]) => (name.endsWith(suffix) ? [data[0]] : []))
    expect(held('.num_batches_tracked')).toEqual(norm === 'batch' ? [24, 24] : [])
    expect(held('.initialized')).toEqual(norm === 'act' ? [1, 1] : [])
  })
})

test.each(['emoji-kl-gan', 'emoji-vq-gan'])('graphs/%s.json is sound, each parameter counted once', async (name) => {
  const plan = right(planExperiment(right(await loadExperiment(`graphs/${name}.json`)()), 0))
  const firstStage = plan.firstStage ?? expect.unreachable('no first stage')
  const { step } = firstStage
  expect(lint(step.declared, step.intent)).toEqual([])
  const names = modelParameters(firstStage).map((p) => p.name)
  expect(names.length).toBe(new Set(names).size)
})

test('a perceptual term without its weights says what works', async () => {
  const set = ['/firstStage/loss/perceptual={"weight":1}']
  expect(await loadExperiment('graphs/emoji-kl-gan.json', set)()).toMatchObject({
    left: [{ at: '/firstStage/loss/perceptual/files', hint: expect.stringContaining('weight=0') }],
  })
})

describe('turns', () => {
  const p = (name: string) => parameter('', name, [], { kind: 'constant', value: 2 })
  const sgd = {
    optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 },
    learningRate: { kind: 'constant', rate: 0.5 },
  } as const
  const [a, b] = [p('a'), p('b')]
  const product = pipe(a, mul(b))
  const turns = [
    { ...sgd, name: 'first', loss: { loss: product, log: {} }, parameters: [a] },
    { ...sgd, name: 'second', loss: { loss: product, log: {} }, parameters: [b] },
  ] as const
  test.each([
    ['simultaneous', { a: 1, b: 1, loss: 4, second_loss: 4 }],
    ['alternating', { a: 1, b: 1.5, loss: 4, second_loss: 2 }],
  ] as const)('%s', async (order, expected) => {
    const plan = right(stepOfTurns([turns[0], turns[1]], { steps: 1, order }))
    const found = await runOn(reference)(plan.graph, { ...plan.initial(0), ...plan.hostFeeds(0) })
    expect(Object.fromEntries(Object.keys(expected).map((name) => [name, found[name]?.data[0]]))).toEqual(expected)
  })
  test('substitution leaves alone what reads no replaced leaf', () => {
    const [kept, changed] = [square(a), square(b)]
    const now = substitution({ b: scalar(3) }, [kept, changed])
    expect(now(kept)).toBe(kept)
    expect(now(changed)).toEqual(square(scalar(3)))
  })
})
