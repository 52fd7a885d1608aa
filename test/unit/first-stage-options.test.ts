import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { input } from '../../src/declare/index.ts'
import { floats, type Value, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { autoencoderOf, type Experiment } from '../../src/experiment/document.ts'
import { codeDecoderGraph, codesGraph, reconstructionGraph, type VqStage } from '../../src/experiment/first-stage.ts'
import { conditionOf, pixelWeights } from '../../src/experiment/pictures.ts'
import { type Graph, parameters } from '../../src/graph/graph.ts'
import { float } from '../../src/graph/types.ts'
import { E, RR, TE } from '../../src/prelude.ts'
import { loadData } from '../../src/train/data.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { trainExperiment } from '../../src/train/run.ts'
import { initialParameters, noiseFeeds } from '../../src/train/state.ts'
import { right, runOn } from '../arbitrary/run.ts'
import { evaluate } from './diffusion-fixtures.ts'

/** Options that the first stage has beside its networks: what the discriminator is told, what pixels weigh, how codes are numbered. */

const side = 16
const state = { folder: '' }
const at = (...path: readonly string[]): string => join(state.folder, ...path)
const drawn = async (path: string, channels: 1 | 3 | 4, of: (i: number, channel: number) => number): Promise<void> => {
  await mkdir(dirname(path), { recursive: true })
  const raw = Uint8Array.from({ length: side * side * channels }, (_, i) => of(Math.floor(i / channels), i % channels))
  await sharp(raw, { raw: { width: side, height: side, channels } })
    .png()
    .toFile(path)
}
const names = ['a', 'b', 'c', 'd', 'e', 'f']
/** Covered on the left half only. */
const covered = (pixel: number): boolean => pixel % side < side / 2
const labelAt = (pixel: number): number => Math.floor(pixel / side) % 3
beforeAll(async () => {
  state.folder = await mkdtemp(join(tmpdir(), 'latentgraph-options-'))
  for (const [k, name] of names.entries()) {
    const colour = (pixel: number, channel: number): number => (pixel * (k + 2) + 70 * channel) % 256
    await drawn(at('clear', name < 'd' ? 'one' : 'two', `${name}.png`), 4, (i, c) =>
      c === 3 ? (covered(i) ? 255 : 0) : colour(i, c),
    )
    await drawn(at('opaque', `${name}.png`), 3, colour)
    await drawn(at('maps', name < 'd' ? 'one' : 'two', `${name}.webp`), 1, labelAt)
    await drawn(at('labels', `${name}.png`), 1, labelAt)
  }
})
afterAll(() => rm(state.folder, { recursive: true }))

const network = {
  ...{ inChannels: 3, outChannels: 3, resolution: side, channels: 32, channelMultipliers: [1, 2], resBlocks: 1 },
  ...{ attention: 'none', zChannels: 2, latentChannels: 2 },
}
const document = (firstStage: object, data: object = { kind: 'folder', path: at('clear') }) => ({
  name: 'options',
  data: { ...data, size: side, heldOut: 1 },
  firstStage: {
    kind: 'kl',
    loss: {},
    training: {
      ...{ steps: 2, batchSize: 2, optimizer: { kind: 'adam' }, flip: true, logEvery: 1, previewEvery: 2 },
      learningRate: { kind: 'constant', rate: 1e-3 },
    },
    network: { ...network, doubleZ: !('quantizer' in firstStage) },
    ...firstStage,
  },
})
const contest = (more: object = {}) => ({
  adversarial: { factor: { start: 1, unit: 'steps' }, discriminator: { channels: 4, layers: 2 }, ...more },
})
const labelMap = () => ({ kind: 'label-map', path: at('maps'), labels: 3 })
const experimentOf = (...of: Parameters<typeof document>): Experiment => right(decodeExperiment(document(...of)))
const errorsOf = (checked: E.Either<readonly { readonly at: string }[], unknown>): readonly string[] =>
  E.isLeft(checked) ? checked.left.map((e) => e.at) : []

const vq = (quantizer: object) => ({ kind: 'vq', quantizer: { entries: 8, ...quantizer } })
const segmented = () => ({
  kind: 'segmentation',
  path: at('labels'),
  labels: 3,
})
const trained: Readonly<Record<string, () => Experiment>> = {
  'a discriminator told classes': () => experimentOf(contest({ condition: { kind: 'class' } })),
  'the same, alternating, from data': () =>
    experimentOf(
      contest({
        ...{ condition: { kind: 'class' }, order: 'alternating', r1: 1 },
        discriminator: { channels: 4, layers: 2, norm: 'act' },
      }),
    ),
  'a discriminator told label maps': () => experimentOf(contest({ condition: labelMap() })),
  'a quantised one told label maps': () =>
    experimentOf({ ...vq({ kind: 'nearest' }), ...contest({ condition: labelMap() }) }),
  'pixels weighed by transparency': () =>
    experimentOf({ loss: { weights: { kind: 'transparency', transparent: 0.1 } }, ...contest() }),
  'the same in micro-batches': () =>
    experimentOf({
      loss: { weights: { kind: 'transparency' } },
      training: {
        ...{ steps: 2, batchSize: 2, microBatches: 2, optimizer: { kind: 'adam' }, logEvery: 1 },
        learningRate: { kind: 'constant', rate: 1e-3 },
      },
    }),
  'pixels weighed by label': () =>
    experimentOf(
      {
        loss: { weights: { kind: 'labels', weights: [1, 2, 0] } },
        network: { ...network, inChannels: 3, outChannels: 3 },
      },
      segmented(),
    ),
  'codes numbered anew': () =>
    experimentOf({ ...vq({ kind: 'nearest', remap: { used: [5, 1, 6] } }), ...contest({ order: 'alternating' }) }),
  'some codes of Gumbel': () => experimentOf({ ...vq({ kind: 'gumbel', used: [5, 1, 6] }), ...contest() }),
}

describe('two steps', () => {
  test.each(Object.entries(trained))('of %s', async (name, experiment) => {
    const dir = at('runs', name)
    const said: string[] = []
    right(
      await trainExperiment(experiment(), {
        ...{ dir, executor: onnx('cpu'), resume: false },
        stopping: () => false,
        tell: (event) => TE.fromIO(() => void (event.kind === 'note' && said.push(event.text))),
      })(),
    )
    const lines = (await readFile(join(dir, 'first-stage/metrics.jsonl'), 'utf8')).trim().split('\n')
    expect(lines).toHaveLength(2)
    for (const line of lines)
      for (const [key, value] of Object.entries<unknown>(JSON.parse(line)))
        expect([key, value]).toEqual([key, expect.any(Number)])
  })
})

describe('a conditional discriminator', () => {
  const weightOf = (e: Experiment, classes: number) =>
    parameters((right(planExperiment(e, classes)).firstStage ?? expect.unreachable('no first stage')).step.graph).find(
      ({ name }) => name === 'loss.discriminator.main.0.weight',
    )?.shape
  test('has a channel a class, or a label, beside the colours', () => {
    expect(weightOf(experimentOf(contest()), 2)).toEqual([4, 3, 4, 4])
    expect(weightOf(experimentOf(contest({ condition: { kind: 'class' } })), 2)).toEqual([4, 5, 4, 4])
    expect(weightOf(experimentOf(contest({ condition: labelMap() })), 0)).toEqual([4, 6, 4, 4])
  })
  test('sees 1 in the channel of the class everywhere, and in that of the label where it is', async () => {
    const seen = async (condition: object, feeds: Values): Promise<readonly number[]> => {
      const firstStage = autoencoderOf(experimentOf(contest({ condition }))) ?? expect.unreachable('no autoencoder')
      const y = conditionOf(firstStage, { count: 2, side: [1, 3], classes: 2 }) ?? expect.unreachable('no condition')
      return Array.from((await evaluate({ y }, feeds)).y?.data ?? [])
    }
    const labels = { dtype: 'int32', shape: [2], data: Int32Array.of(1, 0) } as const
    expect(await seen({ kind: 'class' }, { labels })).toEqual([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0])
    const map = floats([2, 1, 3], Float32Array.of(2, 0, 1, 1, 1, 1))
    expect(await seen(labelMap(), { label_map: map })).toEqual([0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0])
  })
  test('needs what it is to be told', async () => {
    const classless = experimentOf(contest({ condition: { kind: 'class' } }), { kind: 'folder', path: at('opaque') })
    expect(errorsOf(planExperiment(classless, 0))).toEqual(['/firstStage/adversarial/condition'])
    const elsewhere = { ...labelMap(), path: at('labels') }
    const without = await loadData(experimentOf(contest({ condition: elsewhere })))()
    expect(errorsOf(without)).toEqual(names.map((n) => join(at('labels'), n < 'd' ? 'one' : 'two', n)))
    const few = await loadData(experimentOf(contest({ condition: { ...labelMap(), labels: 2 } })))()
    expect(errorsOf(few)).toEqual(names.map((n) => join(at('maps'), n < 'd' ? 'one' : 'two', `${n}.webp`)))
  })
})

describe('weights of pixels', () => {
  const kl = (weights: object) => {
    const { firstStage } = experimentOf({ loss: { weights } }, 'weights' in weights ? segmented() : undefined)
    return (firstStage.kind === 'kl' ? firstStage.loss.weights : undefined) ?? expect.unreachable('no weights')
  }
  test('are between that of the transparent and 1', async () => {
    const inputs = input('x', float(1, 3, 1, 3))
    const y = pixelWeights(kl({ kind: 'transparency', transparent: 0.5 }), inputs)
    const coverage = floats([1, 1, 1, 3], Float64Array.of(0, 0.5, 1))
    expect(Array.from((await evaluate({ y }, { coverage })).y?.data ?? [])).toEqual([0.5, 0.75, 1])
  })
  test('are those of the labels', async () => {
    const inputs = input('x', float(1, 3, 1, 3))
    const y = pixelWeights(kl({ kind: 'labels', weights: [3, 0, 0.5] }), inputs)
    const x = floats([1, 3, 1, 3], Float64Array.of(-1, 1, -1, 1, -1, -1, -1, -1, 1))
    expect(Array.from((await evaluate({ y }, { x })).y?.data ?? [])).toEqual([0, 3, 0.5])
  })
  test('come with the pictures, in their places', async () => {
    const dataset = right(await loadData(trained['pixels weighed by transparency']?.() ?? experimentOf({}))())
    const { coverage = [] } = right(await dataset.read(names.map((_, i) => i))())
    expect(coverage.length).toBe(names.length * side * side)
    expect(Array.from(coverage.slice(0, side * side), (x) => x > 0.5)).toEqual(
      Array.from({ length: side * side }, (_, i) => covered(i)),
    )
  })
  test('that no picture has are refused', async () => {
    const loss = { weights: { kind: 'transparency' } }
    const opaque = experimentOf({ loss }, { kind: 'folder', path: at('opaque') })
    expect(errorsOf(await loadData(opaque)())).toEqual(['/firstStage/loss/weights'])
    const refused = (weights: object, data?: object) =>
      errorsOf(decodeExperiment(document({ loss: { weights } }, data)))
    expect(refused({ kind: 'labels', weights: [1, 2] })).toEqual(['/firstStage/loss/weights/kind'])
    expect(refused({ kind: 'labels', weights: [1, 2] }, segmented())).toEqual(['/firstStage/loss/weights/weights'])
    expect(refused({ kind: 'transparency' }, segmented())).toEqual(['/firstStage/loss/weights/kind'])
    expect(
      errorsOf(decodeExperiment(document({ ...vq({ kind: 'nearest' }), loss: { weights: { kind: 'transparency' } } }))),
    ).toEqual(['/firstStage/loss/weights'])
  })
})

describe('codes numbered anew', () => {
  const used = [5, 1, 6, 0, 2, 3, 4, 7]
  const pixels = floats(
    [2, 3, side, side],
    Float32Array.from({ length: 6 * side * side }, (_, i) => Math.sin(i)),
  )
  const stageOf = (quantizer: object): VqStage => {
    const { firstStage } = experimentOf(vq(quantizer))
    return firstStage.kind === 'vq' ? firstStage : expect.unreachable('not quantised')
  }
  /** A codebook as wide as the latents are. */
  const weights = (graph: Graph): Values =>
    RR.mapWithIndex((name: string, value: Value) =>
      name === 'quantize.embedding.weight'
        ? floats(
            value.shape,
            Float64Array.from(value.data, (x) => 8 * x),
          )
        : value,
    )(initialParameters(graph, 3))
  const numbersOf = async (stage: VqStage, noise = 1): Promise<readonly number[]> => {
    const graph = right(codesGraph(stage, { count: 2 }))
    const feeds = { ...weights(graph), ...noiseFeeds(graph, noise, 0), pixels }
    return Array.from((await runOn(onnx('cpu'))(graph, feeds)).codes?.data ?? [])
  }
  test('are places among the used', async () => {
    const [plain, places] = [
      await numbersOf(stageOf({ kind: 'nearest' })),
      await numbersOf(stageOf({ kind: 'nearest', remap: { used } })),
    ]
    expect(new Set(plain).size).toBeGreaterThan(1)
    expect(places).toEqual(plain.map((code) => used.indexOf(code)))
  })
  test('leave the rest to chance, to a further number, or to one', async () => {
    const plain = await numbersOf(stageOf({ kind: 'nearest' }))
    const few = plain.slice(0, 1)
    const spare = used.find((code) => !plain.includes(code)) ?? expect.unreachable('all are chosen')
    const others = (unknown: object, noise?: number) =>
      numbersOf(stageOf({ kind: 'nearest', remap: { used: [...few, spare], unknown } }), noise).then((all) =>
        all.filter((_, i) => !few.includes(plain[i] ?? -1)),
      )
    expect(new Set(await others({ kind: 'extra' }))).toEqual(new Set([2]))
    expect(new Set(await others({ kind: 'index', index: 1 }))).toEqual(new Set([1]))
    const chance = await others({ kind: 'random' })
    expect(new Set(chance)).toEqual(new Set([0, 1]))
    expect(await others({ kind: 'random' }, 2)).not.toEqual(chance)
  })
  test('are looked up again: what they decode to is the reconstruction', async () => {
    const stage = stageOf({ kind: 'nearest', remap: { used } })
    const graph = right(codeDecoderGraph(stage, 2))
    const codes = { dtype: 'int32', shape: [2, 8, 8], data: Int32Array.from(await numbersOf(stage)) } as const
    const again = await runOn(onnx('cpu'))(graph, { ...weights(graph), codes })
    const whole = right(reconstructionGraph(stage, 2))
    const made = await runOn(onnx('cpu'))(whole, { ...weights(whole), pixels })
    made.pixels?.data.forEach((x, i) => {
      expect(again.pixels?.data[i]).toBeCloseTo(Number(x), 5)
    })
  })
  test('of Gumbel are all that can be chosen', async () => {
    const numbers = await numbersOf(stageOf({ kind: 'gumbel', used: [5, 1] }))
    expect(new Set(numbers)).toEqual(new Set([0, 1]))
  })
  test('must be codes of the codebook, each once', () => {
    const refused = (quantizer: object) => errorsOf(decodeExperiment(document(vq(quantizer))))
    expect(refused({ kind: 'nearest', remap: { used: [1, 8] } })).toEqual(['/firstStage/quantizer/remap/used/1'])
    expect(refused({ kind: 'nearest', remap: { used: [1, 1] } })).toEqual(['/firstStage/quantizer/remap/used'])
    expect(refused({ kind: 'gumbel', used: [9] })).toEqual(['/firstStage/quantizer/used/0'])
    const index = { used: [1, 2], unknown: { kind: 'index', index: 2 } }
    expect(refused({ kind: 'nearest', remap: index })).toEqual(['/firstStage/quantizer/remap/unknown/index'])
  })
})
