import { join } from 'node:path'
import { expect, it } from 'vitest'
import { freeze } from '../../src/declare/index.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import type { LatentDiffusion } from '../../src/experiment/diffusion-stage.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { feedTypes } from '../../src/graph/graph.ts'
import { TE } from '../../src/prelude.ts'
import { asPart, encodePictures, type Items, rowsOf } from '../../src/train/inference.ts'
import { modelParameters, planExperiment } from '../../src/train/plan.ts'
import { initialParameters } from '../../src/train/state.ts'
import { fedBy } from '../../src/train/told.ts'
import { right } from '../arbitrary/run.ts'
import { difference, run } from './onnx-support.ts'

/** A model with the leaves that a step of its walk is fed through. */
const walkOf = (model: LatentDiffusion) => ({
  model,
  graph: right(freeze(Object.fromEntries(Object.entries(model.conditioner.walked?.(2) ?? {})))),
})

const tiny = async (...sets: readonly string[]) =>
  right(
    await loadExperiment(join(import.meta.dirname, '../../graphs/tiny.json'), [
      '/diffusion/unet/inChannels=9',
      '/sampling/guidance=1',
      ...sets,
    ])(),
  )
const inpainting = '/diffusion/conditioning={"kind":"inpainting"}'
const likeLatentDiffusion = '/diffusion/conditioning={"kind":"inpainting","layout":"latent-diffusion"}'

const side = 16
/** Two pictures, the lower left quarter of the first and the rightmost column of the second missing. */
const conditions = (() => {
  const missing = (row: number, y: number, x: number) => (row === 0 ? y >= 8 && x < 8 : x === side - 1)
  const rows = [0, 1].map((row) => {
    const mask = Float32Array.from({ length: side * side }, (_, i) =>
      missing(row, Math.floor(i / side), i % side) ? 1 : 0,
    )
    const picture = Float32Array.from({ length: 3 * side * side }, (_, i) =>
      mask[i % mask.length] === 1 ? 0 : Math.sin(i + row),
    )
    return [...picture, ...mask]
  })
  return Float32Array.from(rows.flat())
})()

it.each([
  [inpainting, 0, [0, 1], 'scaled'],
  [likeLatentDiffusion, -1, [-1, 1], 'raw'],
] as const)(
  '%s: the network is told the latents of the picture with its hole, and a mask as large',
  async (set, hole, [there, gone], kind) => {
    const e = await tiny(set)
    const plan = right(planExperiment(e, 8))
    const { diffusion, firstStage } = plan
    if (diffusion === undefined || firstStage === undefined || e.firstStage.kind !== 'kl') throw new Error('no stages')
    const weights = initialParameters(firstStage.step.declared, 1)
    const [scale, each] = [0.5, 4 * side * side]
    const asked = { labels: [0, 0], pictures: conditions }
    const [fed] = right(await fedBy(onnx('cpu'), walkOf(diffusion.model), asPart(weights), scale, [asked])())
    const beside = fed?.beside
    expect(beside?.shape).toEqual([2, 5, 8, 8])
    const holed = Float32Array.from({ length: 2 * 3 * side * side }, (_, i) => {
      const [row, at] = [Math.floor(i / (3 * side * side)), i % (3 * side * side)]
      return conditions[row * each + 3 * side * side + (at % (side * side))] === 1
        ? hole
        : (conditions[row * each + at] ?? 0)
    })
    const found: Items[] = []
    const encoding = { stage: e.firstStage, latents: 'unquantised' } as const
    const pictures = rowsOf({ n: 2, shape: [3, side, side], data: holed })
    right(
      await encodePictures(onnx('cpu'), encoding, weights, pictures, (made) =>
        TE.fromIO(() => void found.push(made)),
      )(),
    )
    const [moments] = found
    const factor = kind === 'scaled' ? scale : 1
    for (const row of [0, 1])
      for (let i = 0; i < 64; i++) {
        const mask = (row === 0 ? i >= 32 && i % 8 < 4 : false) ? gone : there
        const at = (channel: number): number => beside?.data[(row * 5 + channel) * 64 + i] ?? Number.NaN
        expect(at(kind === 'scaled' ? 0 : 4)).toBe(mask)
        for (let c = 0; c < 4; c++)
          expect(at(kind === 'scaled' ? c + 1 : c)).toBeCloseTo(
            (moments?.data[(row * 8 + c) * 64 + i] ?? Number.NaN) * factor,
            5,
          )
      }
  },
)

it('before a walk the same is computed as in a step, and the encoder is neither trained nor a part of the stage', async () => {
  const { diffusion, firstStage } = right(planExperiment(await tiny(inpainting), 8))
  if (diffusion === undefined || firstStage === undefined) throw new Error('no stages')
  const { step, model } = diffusion
  const part = Object.keys(feedTypes(step.graph)).filter((name) => name.startsWith('first_stage_model.'))
  const weights = asPart(initialParameters(firstStage.step.declared, 1))
  expect(part.length).toBeGreaterThan(20)
  expect(part.filter((name) => !/^first_stage_model\.(encoder|quant_conv)\./.test(name))).toEqual([])
  expect(part.filter((name) => weights[name] === undefined || name in step.carry)).toEqual([])
  expect(Object.keys(step.carry).filter((name) => name.includes('first_stage_model'))).toEqual([])
  expect(modelParameters(diffusion).filter(({ name }) => name.startsWith('first_stage_model'))).toEqual([])
  const asked = { labels: [0, 0], pictures: conditions }
  const [ahead] = right(await fedBy(onnx('cpu'), walkOf(model), weights, 0.5, [asked])())
  const { beside } = model.conditioner.given(2)
  const g = right(freeze({ ...(beside === undefined ? {} : { beside }) }))
  const fed: Values = { ...weights, ...model.conditioner.feeds(asked), scale_factor: floats([], Float32Array.of(0.5)) }
  const inStep = await run(
    onnx('cpu'),
    g,
    Object.fromEntries(Object.keys(feedTypes(g)).map((name) => [name, fed[name] ?? expect.unreachable(name)])),
  )
  expect(difference(ahead?.beside, inStep.beside)).toBeLessThan(2e-6)
})
