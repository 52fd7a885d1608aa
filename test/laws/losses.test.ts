import { expect, test } from 'vitest'
import { reference } from '../../src/execute/reference/index.ts'
import { noiseSchedules } from '../../src/laws/diffusion.ts'
import { lossLaws, objectiveLaws } from '../../src/laws/losses.ts'
import { holdAll } from './held.ts'

holdAll(lossLaws)

test("the laws refuse the reference's weight of x_0, which has a slip of precedence", async () => {
  const slipped = noiseSchedules.map((s) => ({
    ...s,
    vlbWeights: { ...s.vlbWeights, x0: [0, ...s.referenceVlbWeights.x0.slice(1)] },
  }))
  const verdicts = await Promise.all(objectiveLaws(slipped).map((l) => l.check(reference, { seed: 2 })()))
  expect(verdicts.filter((v) => !v.holds).map((v) => v.law)).toEqual([
    'the bound does not care what is predicted',
    "the bound's term is a KL divergence",
  ])
})

test('and a bound whose weights are a tenth too large', async () => {
  const heavy = noiseSchedules.map((s) => ({
    ...s,
    vlbWeights: { ...s.vlbWeights, eps: s.vlbWeights.eps.map((w) => 1.1 * w) },
  }))
  const verdicts = await Promise.all(objectiveLaws(heavy).map((l) => l.check(reference, { seed: 2 })()))
  expect(verdicts.filter((v) => !v.holds).map((v) => v.law)).toContain('the terms sum to the ELBO')
})
