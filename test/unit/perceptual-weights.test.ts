import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freeze, parameter, sum, sumAll } from '../../src/declare/index.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { firstStage } from '../../src/experiment/document.ts'
import type { Initializer } from '../../src/graph/ops.ts'
import { size } from '../../src/graph/types.ts'
import { torchvisionNames } from '../../src/nn/index.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { perceptualWeights } from '../../src/train/perceptual-weights.ts'
import { firstStageStep } from '../../src/train/plan.ts'
import { trainExperiment } from '../../src/train/run.ts'
import { right } from '../arbitrary/run.ts'
import { drawPictures } from '../e2e/program.ts'
import { torchStateDict } from './torch-pickles.ts'

const state = { folder: '' }
beforeAll(async () => {
  state.folder = await mkdtemp(join(tmpdir(), 'latentgraph-perceptual-'))
})
afterAll(() => rm(state.folder, { recursive: true }))
const at = (...path: readonly string[]): string => join(state.folder, ...path)

const network = {
  ...{ inChannels: 3, outChannels: 3, resolution: 16, channels: 32, channelMultipliers: [1, 2], resBlocks: 1 },
  ...{ attention: 'none', zChannels: 2, latentChannels: 2 },
}
const training = {
  ...{ steps: 1, batchSize: 2, optimizer: { kind: 'adam' } },
  learningRate: { kind: 'constant', rate: 1e-3 },
}
const kl = (files: readonly string[]) => ({
  kind: 'kl',
  network,
  loss: { perceptual: { weight: 1, files } },
  training,
})

describe('weights of LPIPS, as torch.save writes them', () => {
  const file = (name: string): string => join(import.meta.dirname, '../golden/perceptual', name)
  const loss = 'loss.perceptual_loss'
  const loaded: Initializer = { kind: 'loaded' }
  /** A network with few of its numbers, in their names. */
  const leaves = [
    parameter(`${loss}.net.slice1.0`, 'weight', [2, 3, 3, 3], loaded),
    parameter(`${loss}.net.slice5.28`, 'bias', [2], loaded),
    parameter(`${loss}.lin0.model.1`, 'weight', [1, 2, 1, 1], loaded),
    parameter(`${loss}.scaling_layer`, 'shift', [1], { kind: 'values', data: [5] }),
    parameter('decoder', 'weight', [1], { kind: 'ones' }),
  ]
  const graph = right(freeze({ loss: sumAll(...leaves.map((p) => pipe(p, sum()))) }))
  const foundIn = (...files: readonly string[]) =>
    perceptualWeights(right(decode(firstStage)(kl(files))), { graph, carry: { 'decoder.weight': 'decoder.weight' } })()
  const found = (...names: readonly string[]) => foundIn(...names.map(file))
  const firstOf = (values: Readonly<Record<string, { readonly data: ArrayLike<number> }>>) =>
    Object.fromEntries(Object.entries(values).map(([name, { data }]) => [name.replace(`${loss}.`, ''), data[0]]))

  test.each(['vgg16.pth', 'vgg16_legacy.pth'])('%s of torchvision beside the heads', async (vgg16) => {
    expect(firstOf(right(await found(vgg16, 'vgg.pth')))).toEqual({
      'net.slice1.0.weight': 0,
      'net.slice5.28.bias': 300 / 8,
      'lin0.model.1.weight': 600 / 8,
      'scaling_layer.shift': 5,
    })
  })
  test('a whole model of the reference', async () => {
    expect(firstOf(right(await found('model.ckpt')))).toEqual({
      'net.slice1.0.weight': 1000,
      'net.slice5.28.bias': 1000 + 300 / 8,
      'lin0.model.1.weight': 1600 / 8,
      'scaling_layer.shift': 5,
    })
  })
  test('of a wrapped model, under the names that it has without; what is not finite is an error by name', async () => {
    const wrapped = (bias: number) =>
      torchStateDict([
        [`module._orig_mod.${loss}.net.slice1.0.weight`, { shape: [2, 3, 3, 3], data: new Float32Array(54).fill(7) }],
        [`module._orig_mod.${loss}.net.slice5.28.bias`, { shape: [2], data: [8, bias] }],
        [`module._orig_mod.${loss}.lin0.model.1.weight`, { shape: [1, 2, 1, 1], data: [9, 9] }],
      ])
    await writeFile(at('wrapped.ckpt'), wrapped(8))
    expect(firstOf(right(await foundIn(at('wrapped.ckpt'))))).toMatchObject({ 'net.slice5.28.bias': 8 })
    await writeFile(at('broken.ckpt'), wrapped(Number.NaN))
    expect(await foundIn(at('broken.ckpt'))).toMatchObject({
      left: [{ at: at('broken.ckpt'), expected: `finite numbers in ${loss}.net.slice5.28.bias` }],
    })
  })
  test('one file without the other: what is missing is named, with what to do', async () => {
    const only = await found('vgg16.pth')
    expect(E.isLeft(only) ? only.left : []).toEqual([
      expect.objectContaining({
        at: `/firstStage/loss/perceptual/files: ${loss}.lin0.model.1.weight`,
        got: 'none',
        hint: expect.stringContaining('vgg.pth'),
      }),
    ])
    const heads = await found('vgg.pth')
    expect(E.isLeft(heads) ? heads.left.length : 0).toBe(2)
  })
})

describe('VGG16 in its full size, of random numbers', () => {
  const shapes = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
  const indices = [...new Set(Object.values(torchvisionNames('')).map((name) => Number(name.split('.')[1])))]
  /** Kaiming's spread by a linear congruential generator: fast, and any numbers will do. */
  const drawn = (shape: readonly number[], seed: number) => {
    const bound = shape.length === 4 ? Math.sqrt(6 / size(shape.slice(1))) : 0
    let x = seed
    const data = new Float32Array(size(shape))
    for (let i = 0; i < data.length; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) | 0
      data[i] = (x / 2 ** 31) * bound
    }
    return { shape, data }
  }
  const convolutions = shapes.flatMap((out, i) => [
    [`features.${indices[i]}.weight`, drawn([out, shapes[i - 1] ?? 3, 3, 3], i)] as const,
    [`features.${indices[i]}.bias`, drawn([out], i)] as const,
  ])
  const heads = [64, 128, 256, 512, 512].map((channels, i) => {
    const { shape, data } = drawn([1, channels, 1, 1], i)
    return [`lin${i}.model.1.weight`, { shape, data: data.map(Math.abs) }] as const
  })

  test('is read from torch files, and trains a step', { timeout: 60_000 }, async () => {
    await writeFile(at('vgg16.pth'), torchStateDict([...convolutions, ['classifier.6.bias', drawn([1000], 1)]]))
    await writeFile(at('vgg.pth'), torchStateDict(heads))
    await drawPictures(at('pictures'))
    const experiment = right(
      decodeExperiment({
        name: 'perceptual',
        data: { kind: 'folder', path: at('pictures'), size: 16, heldOut: 6 },
        firstStage: kl([at('vgg16.pth'), at('vgg.pth')]),
      }),
    )
    const even = right(
      decode(firstStage)({
        ...kl([at('vgg16.pth')]),
        loss: { perceptual: { weight: 1, heads: 'even', files: [at('vgg16.pth')] } },
      }),
    )
    const alone = right(await perceptualWeights(even, right(firstStageStep(even)))())
    expect(Object.keys(alone)).toHaveLength(2 + 26)
    const silent = { tell: () => TE.right(undefined), stopping: () => false }
    const options = { dir: at('run'), executor: onnx('cpu'), resume: false, ...silent }
    right(await trainExperiment(experiment, options)())
    const { rec_loss: withDistance } = JSON.parse(await readFile(at('run/first-stage/metrics.jsonl'), 'utf8'))
    expect(withDistance).toBeGreaterThan(0)
    expect(withDistance).toBeLessThan(100)
  })
})
