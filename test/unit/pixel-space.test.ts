import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadShapes } from '../../src/data/shapes.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { conditionerOf } from '../../src/experiment/conditioning.ts'
import { diffusionLeaves, samplingProgram } from '../../src/experiment/diffusion-stage.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { E } from '../../src/prelude.ts'
import { drawLatents } from '../../src/train/drawing.ts'
import { firstItems, type Rows, rowsOf } from '../../src/train/inference.ts'
import { encodeLatents } from '../../src/train/latents.ts'
import { planExperiment, stagesOf } from '../../src/train/plan.ts'
import { showingOf } from '../../src/train/showing.ts'
import { initialParameters } from '../../src/train/state.ts'
import { right } from '../arbitrary/run.ts'

const example = (name: string, ...sets: readonly string[]) =>
  loadExperiment(join(import.meta.dirname, `../../examples/${name}.json`), sets)()
const errorsOf = async (name: string, ...sets: readonly string[]): Promise<readonly string[]> => {
  const loaded = await example(name, ...sets)
  return E.isLeft(loaded) ? loaded.left.map(({ at }) => at) : []
}
const small = [
  '/data/size=8',
  '/diffusion/unet/modelChannels=32',
  '/diffusion/unet/channelMultipliers=[1]',
  '/diffusion/unet/attentionFactors=[]',
  '/diffusion/training/batchSize=2',
  '/sampling/sampler=ddim',
  '/sampling/steps=3',
]
const modelOf = async (name: string, ...sets: readonly string[]) => {
  const e = right(await example(name, ...small, ...sets))
  const plan = right(planExperiment(e, 8))
  return { e, plan, diffusion: plan.diffusion ?? expect.unreachable('no diffusion') }
}
const picturesOf = (n: number, size: number): Rows =>
  rowsOf({ n, shape: [3, size, size], data: Float32Array.from({ length: n * 3 * size * size }, (_, i) => Math.sin(i)) })

describe('an experiment without a first stage', () => {
  it('has one stage, a scale of 1 written down, and clips', async () => {
    const { e, plan } = await modelOf('emoji-pixels')
    expect(stagesOf(plan).map(({ name, section }) => [name, section])).toEqual([['diffusion', 'unet']])
    expect(e.firstStage).toEqual({ kind: 'identity', clip: true })
    expect(e.diffusion?.latentScale).toEqual({ kind: 'fixed', value: 1 })
  })
  it.each([
    ['emoji-pixels', ['/diffusion/unet/inChannels=4'], ['/diffusion/unet/inChannels']],
    ['emoji-pixels', ['/diffusion/unet/outChannels=4'], ['/diffusion/unet/outChannels']],
    ['emoji-pixels', ['/data/size=17'], ['/diffusion/unet/channelMultipliers']],
    ['emoji-pixels', ['/diffusion/latents=quantised'], ['/diffusion/latents']],
    ['emoji-pixels', ['/firstStage/kind=identities'], ['/firstStage/kind']],
    ['emoji-super-resolution', ['/diffusion/unet/inChannels=3'], ['/diffusion/unet/inChannels']],
    ['emoji-super-resolution', ['/diffusion/conditioning/factor=5'], ['/diffusion/conditioning/factor']],
    ['emoji-super-resolution', ['/sampling/guidance=2'], ['/sampling/guidance']],
  ] as const)('%s with %s is refused', async (name, sets, at) => {
    expect(await errorsOf(name, ...sets)).toEqual(at)
  })
  it('without diffusion too trains nothing', async () => {
    const e = right(await example('emoji-pixels'))
    const { diffusion: _, ...rest } = e
    const { decodeExperiment } = await import('../../src/experiment/decode.ts')
    const decoded = decodeExperiment(rest)
    expect(E.isLeft(decoded) && decoded.left.map(({ at }) => at)).toEqual(['/diffusion'])
  })
  it('learns pictures as they are read, measured where asked for', async () => {
    const pictures = picturesOf(5, 4)
    const on = { kind: 'identity', clip: true, picture: [3, 4, 4] } as const
    const encoding = { executor: reference, state: {}, seed: 1, dir: '' }
    const encode = (latentScale: { kind: 'measured' } | { kind: 'fixed'; value: number }) =>
      encodeLatents(on, encoding, { latents: 'unquantised', latentScale }, pictures)()
    const fixed = right(await encode({ kind: 'fixed', value: 1 }))
    expect(right(await fixed.read([3, 1])())).toEqual(right(await pictures.read([3, 1])()))
    expect(fixed.scale).toBe(1)
    const { data } = right(await firstItems(pictures, 5)())
    const mean = data.reduce((a, b) => a + b, 0) / data.length
    const std = Math.sqrt(data.reduce((a, b) => a + (b - mean) ** 2, 0) / data.length)
    expect(right(await encode({ kind: 'measured' })).scale).toBeCloseTo(1 / std, 6)
  })
  it('keeps predictions in the range of pictures while sampling, unless told not to', async () => {
    const largest = async (...sets: readonly string[]): Promise<number> => {
      const { e, diffusion } = await modelOf('emoji-pixels', ...sets)
      const graph = right(samplingProgram(diffusion.model, e.sampling, 1)).graph
      const state: Values = Object.fromEntries(
        Object.entries(initialParameters(graph, 1)).map(([name, v]) => [
          name,
          name === 'out.2.bias' ? floats(v.shape, new Float32Array(v.data.length).fill(2)) : v,
        ]),
      )
      const wanted = { labels: [0], seed: 1, sampling: e.sampling, scale: 1 }
      const { data } = right(await drawLatents(onnx('cpu'), diffusion.model, state, wanted)())
      return data.reduce((a, x) => Math.max(a, Math.abs(x)), 0)
    }
    expect(await largest()).toBeLessThanOrEqual(1 + 1e-6)
    expect(await largest('/firstStage/clip=false')).toBeGreaterThan(1.5)
  })
})

describe('super-resolution', () => {
  const space = { latent: [3, 8, 8], picture: [3, 8, 8], classes: 0 }
  const { pictures: condition, feeds, channels } = conditionerOf({ kind: 'super-resolution', factor: 4 }, space)
  it('tells a smaller picture beside x_t, at the size of the latents', async () => {
    const { diffusion } = await modelOf('emoji-super-resolution')
    const types = feedTypes(diffusion.step.graph)
    expect(types[diffusionLeaves.beside]?.shape).toEqual([types.moments?.shape[0], 3, 8, 8])
    const { data } = right(await firstItems(picturesOf(2, 8), 2)())
    const told = condition?.of({ pictures: data }, () => () => 0) ?? expect.unreachable('no pictures')
    expect(told).toHaveLength(2 * 3 * 2 * 2)
    expect(feeds({ labels: [0, 0], pictures: told })[diffusionLeaves.beside]?.shape).toEqual([2, 3, 8, 8])
    expect(channels).toBe(3)
  })
  it('is told latents of its own size as they are, as `bsr_sr` is', () => {
    const published = conditionerOf({ kind: 'super-resolution', factor: 4 }, { ...space, latent: [3, 2, 2] })
    const told = Float32Array.from({ length: 12 }, (_, i) => i / 12)
    expect(published.feeds({ labels: [0], pictures: told })[diffusionLeaves.beside]?.data).toEqual(told)
  })
  it('draws each picture by its own condition, however they are batched', async () => {
    const { e, diffusion } = await modelOf('emoji-super-resolution')
    const graph = right(samplingProgram(diffusion.model, e.sampling, 1)).graph
    const state = Object.fromEntries(
      Object.entries(initialParameters(graph, 1)).map(([name, v]) => [
        name,
        floats(
          v.shape,
          Float32Array.from(v.data, (_, i) => Math.sin(7 * i) / 9),
        ),
      ]),
    )
    const showing = right(
      await showingOf(diffusion.model, 2, right(await loadShapes({ size: 8, count: 2 })()), {
        seed: 1,
        tokens: undefined,
      })(),
    )
    const draw = async (asked: typeof showing.asked) =>
      right(
        await drawLatents(onnx('cpu'), diffusion.model, state, { ...asked, seed: 1, sampling: e.sampling, scale: 1 })(),
      )
    const both = await draw(showing.asked)
    const each = 3 * 4 * 4
    const alone = await draw({ labels: [0], pictures: (showing.asked.pictures ?? new Float32Array()).slice(0, each) })
    for (const [i, x] of alone.data.entries()) expect(x).toBeCloseTo(both.data[i] ?? Number.NaN, 4)
    expect(showing.grid(both)).toMatchObject({ n: 6, shape: [3, 8, 8] })
    expect(showing.rows).toEqual(['low resolution', 'ours', 'true'])
    const { psnr, baseline } = showing.restoration?.(both) ?? expect.unreachable('no restoration')
    expect(psnr).toBeLessThan(baseline ?? 0)
  })
})
