import { expect, test } from 'vitest'
import { reference } from '../../src/execute/reference/index.ts'
import { convergenceLaw, librarySamplerLaws, samplerLaws } from '../../src/laws/samplers.ts'
import { combine, ddim, predict, type Sampler, sampler } from '../../src/samplers/index.ts'
import { holdAll } from './held.ts'

holdAll(librarySamplerLaws)

/** DDIM that forgets the direction to x_t. */
const forgetful: Sampler = sampler({
  name: 'forgetful',
  order: 1,
  *walk({ transitions, start }) {
    let x = start
    for (const { here, next } of transitions) {
      const { x0 } = yield* predict(here, x)
      x = combine([next.alpha, x0])
    }
    return x
  },
})

test('the laws refuse a sampler that forgets the direction to x_t', async () => {
  const verdicts = await Promise.all(
    [...samplerLaws(forgetful), convergenceLaw(forgetful)].map((l) => l.check(reference, { seed: 5 })()),
  )
  expect(verdicts.filter((v) => !v.holds).map((v) => v.law)).toEqual([
    'forgetful keeps the marginals',
    'forgetful converges with order 1',
  ])
})

test('first order is not second', async () => {
  expect(await convergenceLaw(ddim(), 2).check(reference, { seed: 5 })()).toMatchObject({ holds: false })
})
