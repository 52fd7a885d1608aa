import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Effect } from '../../src/error.ts'
import { omit } from '../../src/execute/carry.ts'
import { type Executable, type Executor, emptyValue, type Values } from '../../src/execute/executor.ts'
import type { LatentDiffusion } from '../../src/experiment/diffusion-stage.ts'
import { autoencoderOf, type Experiment } from '../../src/experiment/document.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { outputTypes } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { E, pipe, RR, TE } from '../../src/prelude.ts'
import { drawPictures } from '../../src/train/drawing.ts'
import { drawPrior, encodePictures, reconstruct, reconstructionPsnr } from '../../src/train/inference.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { stoppable } from '../../src/train/stop.ts'
import { right } from '../arbitrary/run.ts'

/** An executor whose every number is `x`; it tells how often it was run. */
const filled = (x: number) => {
  const ran = { times: 0 }
  const executor: Executor = {
    name: 'filled',
    compile: (graph) => {
      const outputs: Values = RR.map(({ dtype, shape }: ReturnType<typeof outputTypes>[string]) => {
        const value = emptyValue(dtype, shape, size(shape))
        value.data.fill(x)
        return value
      })(outputTypes(graph))
      const run = (): Effect<Values> => async () => {
        ran.times += 1
        return E.right(outputs)
      }
      const start: Executable['start'] = (carry, initial) => {
        const read = RR.map((v: Values[string]) => {
          const value = emptyValue(v.dtype, v.shape, size(v.shape))
          value.data.fill(x)
          return value
        })(initial)
        const step = (): Effect<Values> =>
          pipe(
            run(),
            TE.map((made) => omit(made, Object.keys(carry))),
          )
        return TE.right({
          step,
          ahead: () => TE.right(step),
          read: TE.right(read),
          dispose: () => {},
        })
      }
      return TE.right({ run, start, dispose: () => {} })
    },
  }
  return { executor, ran }
}

const held: { experiment?: Experiment; model?: LatentDiffusion } = {}
beforeAll(async () => {
  held.experiment = right(await loadExperiment(join(import.meta.dirname, '../../graphs/tiny.json'))())
  const { model } = right(planExperiment(held.experiment, 8)).diffusion ?? expect.unreachable('no diffusion')
  held.model = model
})
const drawings = (executor: Executor): Readonly<Record<string, Effect<unknown>>> => {
  const e = held.experiment ?? expect.unreachable('no experiment')
  const model = held.model ?? expect.unreachable('no model')
  const stage = autoencoderOf(e) ?? expect.unreachable('no autoencoder')
  const n = 70
  const pictures = { n, shape: [3, 16, 16], data: new Float32Array(n * 768) }
  const rows = { ...pictures, read: (i: ArrayLike<number>) => TE.right(new Float32Array(i.length * 768)) }
  const wanted = { labels: [0, 1], seed: 1, sampling: e.sampling, scale: 1 }
  return {
    reconstructions: reconstruct(executor, stage, {}, pictures),
    'their PSNR': reconstructionPsnr(executor, stage, {}, rows),
    latents: encodePictures(executor, { stage, latents: 'unquantised' }, {}, rows, () => TE.right(undefined)),
    'samples of the prior': drawPrior(executor, stage, {}, { n: 4, seed: 1 }),
    samples: drawPictures(executor, { model, stage }, { firstStage: {}, diffusion: {} }, wanted),
  }
}
const names = ['reconstructions', 'their PSNR', 'latents', 'samples of the prior', 'samples'] as const

describe('what is drawn, measured or encoded', () => {
  it.each(names)('is finite: %s', async (name) => {
    expect(await drawings(filled(0.5).executor)[name]?.()).toMatchObject({ _tag: 'Right' })
    for (const x of [Number.NaN, Number.POSITIVE_INFINITY])
      expect(await drawings(filled(x).executor)[name]?.()).toMatchObject({
        _tag: 'Left',
        left: [
          {
            tag: 'run',
            expected: 'finite numbers',
            got: `${x}, first in picture 1 of ${/sam/.test(name) ? (name === 'samples' ? 2 : 4) : 32}`,
          },
        ],
      })
  })
  it.each(names)('ends where a stop is asked for, at the next batch or step: %s', async (name) => {
    const { executor, ran } = filled(0.5)
    const stopping = stoppable(executor, () => ran.times >= 1)
    const ended = await drawings(stopping)[name]?.()
    if (name === 'samples of the prior') expect(ended).toMatchObject({ _tag: 'Right' })
    else expect(ended).toMatchObject({ _tag: 'Left', left: [{ tag: 'stopped' }] })
    expect(ran.times).toBe(1)
    const before = stoppable(executor, () => true)
    expect(await drawings(before)[name]?.()).toMatchObject({ _tag: 'Left', left: [{ tag: 'stopped' }] })
    expect(ran.times).toBe(1)
  })
})
