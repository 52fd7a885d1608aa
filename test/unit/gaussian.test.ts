import { describe, expect, test } from 'vitest'
import { add, mul, sum, type Tensor } from '../../src/declare/index.ts'
import { discretizedLogLikelihood } from '../../src/distributions/discretized-gaussian.ts'
import {
  deterministic,
  diagonalGaussian,
  kl,
  mode,
  nll,
  normalKl,
  sample,
  standardNormal,
} from '../../src/distributions/gaussian.ts'
import { pipe } from '../../src/prelude.ts'
import { grad } from '../../src/transform/index.ts'
import { agree, evaluate, fixtures } from './diffusion-fixtures.ts'

const against = (y: Tensor, cotangent: Tensor): Tensor => pipe(y, mul(cotangent), sum())
const gradients = (prefix: string, y: Tensor, cotangent: Tensor, of: Readonly<Record<string, Tensor>>) => {
  const names = Object.keys(of)
  const found = grad(against(y, cotangent), Object.values(of))
  return Object.fromEntries(names.map((name, i) => [`${prefix}.${name}`, found[i] ?? y]))
}

describe.each(fixtures('distribution', /^diag/))('$name', (f) => {
  const [parameters, other, x, noise] = [
    f.leaf('in.parameters'),
    f.leaf('in.other'),
    f.leaf('in.sample'),
    f.leaf('in.noise'),
  ]
  const d = diagonalGaussian(parameters)
  const point = deterministic(d)
  const out = {
    kl: kl()(d),
    kl_other: kl(diagonalGaussian(other))(d),
    nll: nll(x)(d),
    sample: sample(noise)(d),
  }
  test('values', async () => {
    const got = await evaluate(
      {
        'out.mean': d.mean,
        'out.logvar': d.logvar,
        'out.std': d.std,
        'out.var': d.var,
        'out.mode': mode(d),
        'out.sample': out.sample,
        'out.kl': out.kl,
        'out.kl_other': out.kl_other,
        'out.nll': out.nll,
        'out.nll_dims23': nll(x, [2, 3])(d),
        'out.deterministic.std': point.std,
        'out.deterministic.var': point.var,
        'out.deterministic.mean': point.mean,
        'out.deterministic.logvar': point.logvar,
        'out.deterministic.kl': kl()(point),
        'out.deterministic.nll': nll(x)(point),
        'out.deterministic.sample': sample(noise)(point),
      },
      f.arrays,
    )
    expect(Object.keys(got).length).toBe(Object.keys(f.arrays).filter((name) => name.startsWith('out.')).length)
    agree(f, got, 1e-6)
  })
  test('gradients', async () => {
    const got = await evaluate(
      {
        ...gradients('grad.kl', out.kl, f.leaf('in.cot.kl'), { 'in.parameters': parameters }),
        ...gradients('grad.kl_other', out.kl_other, f.leaf('in.cot.kl_other'), {
          'in.parameters': parameters,
          'in.other': other,
        }),
        ...gradients('grad.nll', out.nll, f.leaf('in.cot.nll'), { 'in.parameters': parameters, 'in.sample': x }),
        ...gradients('grad.sample', out.sample, f.leaf('in.cot.sample'), { 'in.parameters': parameters }),
      },
      f.arrays,
    )
    agree(f, got, 1e-6)
  })
})

test.each(fixtures('distribution', /^normal_kl/))('$name', async (f) => {
  const leaves = {
    'in.mean1': f.leaf('in.mean1'),
    'in.logvar1': f.leaf('in.logvar1'),
    'in.mean2': f.leaf('in.mean2'),
    'in.logvar2': f.leaf('in.logvar2'),
  }
  const p = { mean: leaves['in.mean1'], logvar: leaves['in.logvar1'] }
  const both = normalKl(p, { mean: leaves['in.mean2'], logvar: leaves['in.logvar2'] })
  const scalars = normalKl(p, { mean: 0, logvar: 0 })
  const [a, b] = [
    gradients('grad', both, f.leaf('in.cot.kl'), leaves),
    gradients('grad', scalars, f.leaf('in.cot.kl_scalar'), leaves),
  ]
  const parts = await evaluate(
    {
      'out.kl': both,
      'out.kl_scalar': scalars,
      ...Object.fromEntries(Object.entries(a).map(([k, x]) => [k, pipe(x, add(b[k] ?? x))])),
    },
    f.arrays,
  )
  agree(f, parts, 1e-6)
})

test.each(fixtures('distribution', /^discretized/))('$name', async (f) => {
  const [mean, logScale] = [f.leaf('in.means'), f.leaf('in.log_scales')]
  const out = discretizedLogLikelihood(f.leaf('in.x'))({ mean, logScale })
  const got = await evaluate(
    {
      'out.log_probs': out,
      ...gradients('grad', out, f.leaf('in.cot'), { 'in.means': mean, 'in.log_scales': logScale }),
    },
    f.arrays,
  )
  agree(f, got, 1e-5)
})

test('the prior has no divergence from itself', async () => {
  const { kl: zero } = await evaluate({ kl: kl()(standardNormal([2, 3, 4, 4])) }, {})
  expect(Array.from(zero?.data ?? [])).toEqual([0, 0])
})
