import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { floats, ints } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { diffusionLeaves } from '../../src/experiment/diffusion-stage.ts'
import { firstStageLeaves } from '../../src/experiment/first-stage.ts'
import { E, TE } from '../../src/prelude.ts'
import { bestOf, bestsAsOf, exhausted, type Measured } from '../../src/train/monitor.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { type HeldOut, measuring, spread } from '../../src/train/validation.ts'
import { right } from '../arbitrary/run.ts'

const tiny = JSON.parse(await readFile(new URL('../../graphs/tiny.json', import.meta.url), 'utf8'))
const plan = (firstStage: object = {}, diffusion: object = {}) => {
  const with_ = (stage: { training: object }, more: object) => ({ ...stage, training: { ...stage.training, ...more } })
  const e = { ...tiny, firstStage: with_(tiny.firstStage, firstStage), diffusion: with_(tiny.diffusion, diffusion) }
  return planExperiment(right(decodeExperiment(e)), 3)
}

describe('what is monitored', () => {
  it('is measured by the stage', () => {
    const monitoring = (metric: string) => ({ validate: { every: 1, monitor: { metric } } })
    expect(E.isRight(plan(monitoring('val/ssim'), monitoring('val/loss_simple_ema')))).toBe(true)
    expect(plan(monitoring('psnr'))).toMatchObject({
      left: [
        {
          tag: 'config',
          at: '/firstStage/training/validate/monitor/metric',
          got: 'psnr',
          hint: 'did you mean "val/psnr"?',
        },
      ],
    })
    expect(plan(monitoring('val/loss_ema'))).toMatchObject({
      left: [{ at: '/firstStage/training/validate/monitor/metric', hint: 'did you mean "val/loss"?' }],
    })
  })

  const histories = fc
    .array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 12 })
    .map((values) => values.map((value, i): Measured => ({ step: 3 * (i + 1), value })))
  it('has a best that is the first of those that none is better than; lower losses are better, higher ratios', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const values = history.map(({ value }) => value)
        for (const [metric, value] of [
          ['val/loss', Math.min(...values)],
          ['val/psnr_ema', Math.max(...values)],
        ] as const)
          expect(bestOf({ metric }, history)).toEqual(history[values.indexOf(value)])
      }),
    )
  })
  it('has patience for so many that are none the better, and what was best at a step is kept while the step is', () => {
    fc.assert(
      fc.property(histories, fc.integer({ min: 1, max: 5 }), (history, patience) => {
        const monitor = { metric: 'val/loss', use: 'last', patience } as const
        const best = bestOf(monitor, history)?.step ?? 0
        expect(exhausted(monitor, history)).toBe(3 * history.length - best >= 3 * patience)
        expect(bestsAsOf(monitor, history, [3, 3 * history.length])).toEqual([3, best])
      }),
    )
  })
})

describe('measuring', () => {
  const { firstStage = expect.unreachable('no first stage'), diffusion } = right(plan())
  const n = 5
  const wave = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(0.37 * i))
  const rows = (shape: readonly number[], pictures: readonly number[]) => {
    const each = shape.reduce((a, b) => a * b, 1)
    const all = wave(n * each)
    return floats(
      [pictures.length, ...shape],
      Float32Array.from(pictures.flatMap((i) => [...all.subarray(i * each, (i + 1) * each)])),
    )
  }
  const pictures: Pick<HeldOut, 'feeds' | 'pixels' | 'graph'> = {
    graph: firstStage.validation,
    pixels: firstStageLeaves.pixels,
    feeds: (at) => TE.right({ [firstStageLeaves.pixels]: rows([3, 16, 16], at) }),
  }
  const latents: Pick<HeldOut, 'feeds' | 'graph'> = {
    graph: diffusion?.validation ?? firstStage.validation,
    feeds: (at) =>
      TE.right({
        [diffusionLeaves.moments]: rows([8, 8, 8], at),
        [diffusionLeaves.scale]: floats([], Float32Array.of(0.7)),
        [diffusionLeaves.labels]: ints(
          [at.length],
          Int32Array.from(at, (i) => i % 3),
        ),
      }),
  }
  const measured = async (
    given: Pick<HeldOut, 'feeds' | 'pixels' | 'graph'>,
    batch: number,
    state = given === pictures ? firstStage.step.initial(3) : (diffusion?.step.initial(3) ?? {}),
  ) => {
    const { measure, dispose } = measuring(onnx('cpu'), { n, batch, seed: 7, ...given })
    const [once, again] = [right(await measure(state)()), right(await measure(state)())]
    dispose()
    expect(again).toEqual(once)
    return once
  }
  it.each([
    ['a first stage', pictures, ['val/kl_loss', 'val/loss', 'val/psnr', 'val/ssim']],
    ['diffusion', latents, ['val/loss', 'val/loss_ema', 'val/loss_simple', 'val/loss_vlb_ema']],
  ] as const)('%s says the same again, whatever the batches are', async (_, given, names) => {
    const [whole, parts] = [await measured(given, n), await measured(given, 2)]
    expect(Object.keys(whole)).toEqual(expect.arrayContaining([...names]))
    for (const [name, value] of Object.entries(whole))
      expect(Math.abs((parts[name] ?? 0) - value), name).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(value)))
  })
  it('averaged weights are measured beside the others', async () => {
    const state = diffusion?.step.initial(3) ?? {}
    const moved = Object.fromEntries(
      Object.entries(state).map(([name, v]) =>
        name === 'ema.shadow.out.2.bias' ? [name, { ...v, data: Float32Array.from(v.data, () => 1) }] : [name, v],
      ),
    )
    const [before, after] = [await measured(latents, n, state), await measured(latents, n, moved)]
    expect(before['val/loss_ema']).toBe(before['val/loss'])
    expect(after['val/loss']).toBe(before['val/loss'])
    expect(after['val/loss_ema']).toBeGreaterThan((before['val/loss'] ?? 0) + 0.5)
  })
  it('is on pictures spread evenly', () => {
    expect(spread(10, 4)).toEqual([0, 2, 5, 7])
    expect(spread(3, 4)).toEqual([0, 1, 2])
  })
})
