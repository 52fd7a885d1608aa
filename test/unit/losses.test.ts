import { describe, expect, test } from 'vitest'
import { leafName } from '../../src/declare/index.ts'
import { denoiser } from '../../src/diffusion/denoiser.ts'
import { ddpmLoss, fixedLogvar, latentDiffusionLoss, learnedLogvar } from '../../src/diffusion/objective.ts'
import { type CompVisSchedule, noiseScheduleFromCompVis } from '../../src/schedulers/compvis.ts'
import { noiseSchedule } from '../../src/schedulers/noise-schedule.ts'
import { grad } from '../../src/transform/index.ts'
import { agree, evaluate, fixtures, right } from './diffusion-fixtures.ts'
import { convolutions } from './diffusion-toys.ts'

interface Config extends CompVisSchedule {
  readonly cls: 'DDPM' | 'LatentDiffusion'
  readonly loss_type: 'l1' | 'l2'
  readonly parameterization?: 'eps' | 'x0'
  readonly l_simple_weight?: number
  readonly original_elbo_weight?: number
  readonly learn_logvar?: boolean
  readonly logvar_init?: number
  readonly train: boolean
}

test.each(fixtures<Config>('diffusion', /_losses_/))('$name', async (f) => {
  const { config } = f
  const s = right(noiseSchedule(right(noiseScheduleFromCompVis(config))))
  const predicts = config.parameterization ?? 'eps'
  const objective = {
    norm: config.loss_type,
    simpleWeight: config.l_simple_weight ?? 1,
    vlbWeight: config.original_elbo_weight ?? 0,
    vlbWeights: s.referenceVlbWeights[predicts],
  }
  const logvar = config.learn_logvar ? f.leaf('param.logvar') : fixedLogvar(s.timesteps, config.logvar_init)
  const lossOf = config.cls === 'DDPM' ? ddpmLoss(s, objective) : latentDiffusionLoss(s, { ...objective, logvar })
  const { loss, log } = lossOf(denoiser(predicts, convolutions(f, s.timesteps)), {
    x0: f.leaf('in.x_start'),
    eps: f.leaf('in.noise'),
    t: f.leaf('in.t'),
  })
  const prefix = config.train ? 'train' : 'val'
  const logged = Object.entries(log).map(
    ([name, x]) => [name === 'logvar' ? 'out.log.logvar' : `out.log.${prefix}/${name}`, x] as const,
  )
  const differentiated = Object.keys(f.arrays).filter((name) => name.startsWith('grad.'))
  const gradients = grad(
    loss,
    differentiated.map((name) => f.leaf(name.replace('grad.', ''))),
  )
  const outputs = {
    'out.loss': loss,
    ...Object.fromEntries(logged.filter(([name]) => Object.hasOwn(f.arrays, name))),
    ...Object.fromEntries(differentiated.map((name, i) => [name, gradients[i] ?? loss])),
  }
  expect(Object.keys(outputs).length).toBe(Object.keys(f.arrays).filter((n) => /^(out|grad)\./.test(n)).length)
  agree(f, await evaluate(outputs, f.arrays), 3e-6)
})

describe('the log-variance of errors', () => {
  test('is a parameter where it is learned', () => {
    expect(leafName(learnedLogvar('', 5))).toBe('logvar')
  })
})
