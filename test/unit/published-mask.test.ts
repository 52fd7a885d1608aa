import { expect, test } from 'vitest'
import { floats, type Value } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { drawPipeline } from '../../src/pipelines/draw.ts'
import { factorOf } from '../../src/pipelines/first-stage.ts'
import type { Request } from '../../src/pipelines/request.ts'
import { keyedNoise } from '../../src/samplers/index.ts'
import { smallModel } from '../published-model.ts'
import { right } from './diffusion-fixtures.ts'

/** Parts of pictures drawn anew by models that are told of no mask. */

const values = (shape: readonly number[], of: (i: number) => number): Value =>
  floats(
    shape,
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => of(i)),
  )

test('what a mask covers is drawn anew, all else stays; one that covers all changes nothing', {
  timeout: 60_000,
}, async () => {
  const pipeline = await smallModel()
  const side = 4 * factorOf(pipeline.document.firstStage)
  const picture = values([1, 3, side, side], (i) => (i % 7) / 7)
  const asked: Request = {
    ...{ count: 2, height: side, width: side, steps: 4, guidance: 3, guidanceRescale: 0, eta: 0, strength: 1 },
    ...{ pictureGuidance: 1, clipSkip: 0, prompt: ['a red circle'], picture },
  }
  const draw = async (mask?: Value) => {
    const latents: Value[] = []
    const pictures = right(
      await drawPipeline({
        executor: onnx('cpu'),
        pipeline,
        request: { ...asked, ...(mask === undefined ? {} : { mask }) },
        noise: (wanted, numbers) => keyedNoise(1, numbers)(wanted),
        see: (name, value) => {
          if (name === 'latents' || name === 'init') latents.push(value)
        },
      })(),
    )
    return { pictures, latents }
  }
  const plain = await draw()
  const all = await draw(values([1, 1, side, side], () => 1))
  expect(all.pictures.data).toEqual(plain.pictures.data)
  const upper = (i: number): boolean => Math.floor((i % (side * side)) / side) < side / 2
  const half = await draw(values([1, 1, side, side], (i) => (upper(i) ? 1 : 0)))
  const differing = (keeps: boolean): number =>
    [...half.pictures.data].filter((x, i) => upper(i) !== keeps && x !== picture.data[i % (3 * side * side)]).length
  expect(differing(true)).toBe(0)
  expect(differing(false)).toBeGreaterThan(3 * side * side * 0.9)
  const [init, latents] = half.latents
  const [, channels = 1, h = 1, w = 1] = latents?.shape ?? []
  for (const [i, x] of (latents?.data ?? []).entries())
    if (Math.floor((i % (h * w)) / w) >= h / 2) expect(x).toBe(init?.data[i % (channels * h * w)])
})
