import { expect, it } from 'vitest'
import { type Conditioning, conditionerOf } from '../../src/experiment/conditioning.ts'
import { loadExperiment } from '../../src/experiment/load.ts'
import { E } from '../../src/prelude.ts'
import { planExperiment } from '../../src/train/plan.ts'
import { right } from '../arbitrary/run.ts'

const space = { latent: [4, 8, 8], picture: [3, 16, 16], classes: 5 }
const told: Conditioning = { kind: 'class', dropout: 0.1 }
const beside: Conditioning = { kind: 'super-resolution', factor: 2 }
const both = conditionerOf({ kind: 'hybrid', told, beside }, space)
const [classes, small] = [told, beside].map((c) => conditionerOf(c, space))

it('two conditions are told side by side, and fed what each of them is', () => {
  expect([both.classes, both.channels, both.pictures?.asks]).toEqual([6, 3, 'low resolution'])
  expect(Object.keys(both.given(2)).sort()).toEqual(['beside', 'y'])
  const asked = { labels: [1, 4], pictures: new Float32Array(2 * 3 * 8 * 8).fill(0.5) }
  expect(both.feeds(asked)).toEqual({ ...classes?.feeds(asked), ...small?.feeds(asked) })
})

it('without what is told the picture stays', () => {
  expect(small?.nothing).toBeUndefined()
  const { beside: kept, y } = both.nothing?.(2) ?? expect.unreachable('nothing')
  expect(kept?.attributes).toEqual(both.given(2).beside?.attributes)
  expect(y?.attributes).toEqual(classes?.nothing?.(2).y?.attributes)
})

const tiny = (...sets: readonly string[]) =>
  loadExperiment('graphs/tiny.json', [
    '/diffusion/conditioning={"kind":"hybrid","told":{"kind":"class"},"beside":{"kind":"super-resolution","factor":2}}',
    '/diffusion/unet/inChannels=7',
    ...sets,
  ])()
it('an experiment declares them, guided by what is told', async () => {
  const e = right(await tiny())
  expect(e.sampling.guidance).toBe(2)
  expect(right(planExperiment(e, 5)).diffusion?.model.config.unet.classes).toBe(6)
  const wrong = await tiny('/diffusion/conditioning/beside/factor=3')
  expect(E.isLeft(wrong) && wrong.left.map(({ at, hint }) => [at, hint])).toEqual([
    ['/diffusion/conditioning/beside/factor', '--set /diffusion/conditioning/beside/factor=2'],
  ])
})
