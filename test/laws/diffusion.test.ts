import { expect, test } from 'vitest'
import { reference } from '../../src/execute/reference/index.ts'
import { diffusionLaws, forwardLaws, noiseSchedules } from '../../src/laws/diffusion.ts'
import { holdAll } from './held.ts'

holdAll(diffusionLaws)

test("the laws refuse the note's posterior", async () => {
  const wrong = noiseSchedules.map((s) => ({
    ...s,
    posteriorMeanCoef2: s.alphas.map(
      (a, i) => (Math.sqrt(a) - (1 - (s.alphasCumprodPrev[i] ?? 0))) / (1 - (s.alphasCumprod[i] ?? 0)),
    ),
  }))
  const verdicts = await Promise.all(forwardLaws(wrong).map((l) => l.check(reference, { seed: 1 })()))
  expect(verdicts.filter((v) => !v.holds).map((v) => v.law)).toEqual([
    "the posterior is Bayes' rule",
    'the posterior integrates to the step before',
  ])
})
