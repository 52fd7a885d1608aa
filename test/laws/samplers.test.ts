import { expect, test } from 'vitest'
import { mul } from '../../src/declare/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { convergenceLaw, librarySamplerLaws, samplerLaws } from '../../src/laws/samplers.ts'
import { pipe } from '../../src/prelude.ts'
import { ddim } from '../../src/samplers/ddim.ts'
import { holdAll } from './held.ts'

holdAll(librarySamplerLaws)

test('the laws refuse a sampler that forgets the direction to x_t', async () => {
  const right = ddim({ end: 'data' })
  const wrong = {
    ...right,
    step: (...[denoise, input]: Parameters<typeof right.step>) => {
      const { predX0 } = right.step(denoise, input)
      return { x: pipe(predX0, mul(input.coefficients.alphaPrev)), predX0 }
    },
  }
  const verdicts = await Promise.all(
    [...samplerLaws(wrong), convergenceLaw(wrong, 1)].map((l) => l.check(reference, { seed: 5 })()),
  )
  expect(verdicts.filter((v) => !v.holds).map((v) => v.law)).toEqual([
    'ddim keeps the marginals',
    'ddim converges with order 1',
  ])
})

test('first order is not second', async () => {
  expect(await convergenceLaw(ddim(), 2).check(reference, { seed: 5 })()).toMatchObject({ holds: false })
})
