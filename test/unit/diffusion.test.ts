import { describe, expect, test } from 'vitest'
import { input, leafName, mul, type Tensor } from '../../src/declare/index.ts'
import { denoiser, guide, guideTogether } from '../../src/diffusion/denoiser.ts'
import { qMeanVariance, qPosterior, qSample } from '../../src/diffusion/forward.ts'
import { measuredScale, scaleFactor, scaleLatents, unscaleLatents } from '../../src/diffusion/latent-scale.ts'
import {
  pMeanVariance,
  predictEpsFromStart,
  predictStartFromNoise,
  priorBpd,
  pSample,
} from '../../src/diffusion/reverse.ts'
import { floats, type Value } from '../../src/execute/executor.ts'
import { float, int } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { type CompVisSchedule, noiseScheduleFromCompVis } from '../../src/schedulers/compvis.ts'
import { noiseSchedule } from '../../src/schedulers/noise-schedule.ts'
import { agree, evaluate, fixtures, right } from './diffusion-fixtures.ts'
import { convolutions } from './diffusion-toys.ts'

const column = (...data: readonly number[]): Value => floats([data.length, 1], Float64Array.from(data))
const numbers = (v: Value | undefined): readonly number[] => Array.from(v?.data ?? [])

interface Config extends CompVisSchedule {
  readonly parameterization: 'eps' | 'x0'
}

describe.each(fixtures<Config>('diffusion', /^ddpm_functions/))('$name', (f) => {
  const s = right(noiseSchedule(right(noiseScheduleFromCompVis(f.config))))
  const [x0, xt, t, eps] = [f.leaf('in.x_start'), f.leaf('in.x_t'), f.leaf('in.t'), f.leaf('in.noise')]
  const model = denoiser(f.config.parameterization, convolutions(f, s.timesteps))
  const [q, posterior] = [qMeanVariance(s, { x0, t }), qPosterior(s, { x0, xt, t })]
  const [clip, free] = [pMeanVariance(s, model, { xt, t }, { clip: 1 }), pMeanVariance(s, model, { xt, t })]
  const batch = { xt, t, noise: f.leaf('in.p_noise') }

  test('every function', async () => {
    const got = await evaluate(
      {
        'out.q_sample': qSample(s, { x0, eps, t }),
        'out.q_mean': q.mean,
        'out.q_variance': q.variance,
        'out.q_log_variance': q.logVariance,
        'out.predict_start_from_noise': predictStartFromNoise(s, { xt, t, eps }),
        'out.q_posterior_mean': posterior.mean,
        'out.q_posterior_variance': posterior.variance,
        'out.q_posterior_log_variance_clipped': posterior.logVariance,
        'out.model_out': model(xt, t),
        'out.p_mean.clip': clip.mean,
        'out.p_variance.clip': clip.variance,
        'out.p_log_variance.clip': clip.logVariance,
        'out.p_sample.clip': pSample(s, model, batch, { clip: 1 }),
        'out.p_mean.noclip': free.mean,
        'out.p_variance.noclip': free.variance,
        'out.p_log_variance.noclip': free.logVariance,
        'out.p_sample.noclip': pSample(s, model, batch),
        'out.predict_eps_from_xstart': predictEpsFromStart(s, { xt, t, x0 }),
      },
      f.arrays,
    )
    expect(Object.keys(got).length + 1).toBe(Object.keys(f.arrays).filter((name) => name.startsWith('out.')).length)
    agree(f, got, 3e-6)
  })
  test('prior_bpd', async () => {
    const { bpd } = await evaluate({ bpd: priorBpd(s, x0) }, f.arrays)
    f.value('out.prior_bpd').data.forEach((expected, i) => {
      expect(Math.abs((bpd?.data[i] ?? Number.NaN) - expected)).toBeLessThan(1e-8 + 3e-6 * Math.abs(expected))
    })
  })
})

describe('guidance', () => {
  const [x, c, u] = [input('x', float(2, 1)), input('c', float(2, 1)), input('u', float(2, 1))]
  const t = input('t', int(2))
  const of = (by: { readonly c: Tensor }) => denoiser('eps', (xt) => pipe(xt, mul(by.c)))
  test('u + s (c - u), in two calls or in one', async () => {
    const got = await evaluate(
      {
        two: guide(3)(of({ c }), of({ c: u }))(x, t),
        one: guideTogether(3)(of, { conditional: { c }, unconditional: { c: u } })(x, t),
      },
      { x: column(1, 2), c: column(5, 7), u: column(3, 4) },
    )
    expect(numbers(got.two)).toEqual([9, 26])
    expect(numbers(got.one)).toEqual([9, 26])
  })
  test('joins what predicts the same only', () => {
    const [eps, clean] = [denoiser('eps', (xt) => xt), denoiser('x0', (xt) => xt)]
    // @ts-expect-error one predicts the noise, the other the sample
    expect(guide(1)(eps, clean).predicts).toBe('eps')
  })
})

test('latents are scaled to unit variance and back', async () => {
  const z = input('z', float(4, 1))
  const scale = measuredScale(z)
  const scaled = pipe(z, scaleLatents(scale))
  const got = await evaluate({ scale, scaled, back: pipe(scaled, unscaleLatents(scale)) }, { z: column(1, 3, 5, 7) })
  expect(numbers(got.scale)[0]).toBeCloseTo(Math.sqrt(3 / 20), 12)
  expect(numbers(got.back)).toEqual([1, 3, 5, 7])
  expect(leafName(scaleFactor(''))).toBe('scale_factor')
})
