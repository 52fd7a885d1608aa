import { describe, expect, test } from 'vitest'
import { floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { type FirstStage, firstStage } from '../../src/experiment/document.ts'
import {
  decoderGraph,
  encoderGraph,
  firstStageLeaves,
  priorGraph,
  reconstructionGraph,
} from '../../src/experiment/first-stage.ts'
import type { Graph } from '../../src/graph/graph.ts'
import { decode } from '../../src/schema.ts'
import { initialParameters, noiseFeeds } from '../../src/train/state.ts'
import { difference, right, runOn } from '../arbitrary/run.ts'

const entries = 6
const dim = 2
const batch = 3
const stageOf = (kind: object): FirstStage =>
  right(
    decode(firstStage)({
      loss: {},
      training: {
        ...{ steps: 1, batchSize: batch, optimizer: { kind: 'sgd' } },
        learningRate: { kind: 'constant', rate: 1 },
      },
      network: {
        ...{ inChannels: 3, outChannels: 3, resolution: 8, channels: 32, channelMultipliers: [1, 2], resBlocks: 1 },
        ...{ attention: 'none', zChannels: dim, latentChannels: dim, doubleZ: !('quantizer' in kind) },
      },
      ...kind,
    }),
  )
const stages = {
  kl: stageOf({ kind: 'kl' }),
  nearest: stageOf({ kind: 'vq', quantizer: { kind: 'nearest', entries } }),
  gumbel: stageOf({ kind: 'vq', quantizer: { kind: 'gumbel', entries } }),
}
const run = (graph: Graph, feeds: Values = {}): Promise<Values> =>
  runOn(onnx('cpu'))(graph, { ...initialParameters(graph, 3), ...noiseFeeds(graph, 5, 0), ...feeds })
const latents = (data: ArrayLike<number>) => floats([batch, dim, 4, 4], Float32Array.from(data))
const pixels = floats(
  [batch, 3, 8, 8],
  Float32Array.from({ length: batch * 192 }, (_, i) => Math.sin(i)),
)

describe('samples from the prior', () => {
  test('of KL are decoded normal noise', async () => {
    const graph = right(priorGraph(stages.kl, batch))
    const [drawn] = Object.values(noiseFeeds(graph, 5, 0))
    const direct = await run(right(decoderGraph(stages.kl, batch)), { latents: latents(drawn?.data ?? []) })
    expect(difference(await run(graph), direct, 1e-6)).toBeUndefined()
    expect(drawn?.data.some((x) => x < -1)).toBe(true)
  })
  test('of VQ are decoded vectors of codes drawn alike', async () => {
    const graph = right(priorGraph(stages.nearest, batch))
    const [drawn] = Object.values(noiseFeeds(graph, 5, 0))
    const codes = Array.from(drawn?.data ?? [], (u) => Math.floor(u * entries))
    expect(new Set(codes).size).toBe(entries)
    const table = initialParameters(graph, 3)['quantize.embedding.weight']?.data ?? []
    const at = (i: number): number => {
      const [item, channel, position] = [Math.floor(i / 32), Math.floor(i / 16) % dim, i % 16]
      return table[dim * (codes[16 * item + position] ?? 0) + channel] ?? Number.NaN
    }
    const direct = await run(right(decoderGraph(stages.nearest, batch)), {
      latents: latents(Array.from({ length: batch * 32 }, (_, i) => at(i))),
    })
    expect(difference(await run(graph), direct, 1e-6)).toBeUndefined()
  })
  test.each(Object.entries(stages))('of %s are pictures', async (_, stage) => {
    const graph = right(priorGraph(stage, batch))
    const { pixels: drawn } = await run(graph)
    expect(drawn?.shape).toEqual([batch, 3, 8, 8])
    expect(drawn?.data.every(Number.isFinite)).toBe(true)
  })
})

describe('what diffusion learns of VQ', () => {
  const learnt = (latentKind: 'unquantised' | 'quantised') =>
    run(right(encoderGraph(stages.nearest, latentKind, batch)), { [firstStageLeaves.pixels]: pixels })
  test('is unquantised latents, or vectors of the codebook; both decode to the reconstruction', async () => {
    const graph = right(reconstructionGraph(stages.nearest, batch))
    const expected = await run(graph, { [firstStageLeaves.pixels]: pixels })
    const table = Array.from(initialParameters(graph, 3)['quantize.embedding.weight']?.data ?? [])
    const inTable = (x: number): boolean => table.some((v) => Math.abs(v - x) < 1e-6)
    for (const kind of ['unquantised', 'quantised'] as const) {
      const data = (await learnt(kind)).moments?.data ?? []
      expect(Array.from(data).every(inTable)).toBe(kind === 'quantised')
      const decoded = await run(right(decoderGraph(stages.nearest, batch)), { latents: latents(data) })
      expect(difference(decoded, expected, 1e-5)).toBeUndefined()
    }
  })
})
