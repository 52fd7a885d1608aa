import fc from 'fast-check'
import { expect, it } from 'vitest'
import { randomMask } from '../../src/data/masks.ts'
import { floats } from '../../src/execute/executor.ts'
import { conditionerOf } from '../../src/experiment/conditioning.ts'
import { randomOf } from '../../src/train/data.ts'

const seeds = fc.integer({ min: 0, max: 2 ** 31 })

it('masks are of 0 and 1, the same for a source, of some pixels and never of all', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 2, max: 24 }), (seed, side) => {
      const mask = randomMask(side, randomOf(seed, 'mask'))
      expect(mask).toHaveLength(side * side)
      expect(new Set(mask)).toEqual(new Set([0, 1]))
      expect(randomMask(side, randomOf(seed, 'mask'))).toEqual(mask)
    }),
  )
})
it('masks cover a quarter on the mean, from little to most', () => {
  const shares = Array.from({ length: 400 }, (_, seed) => {
    const mask = randomMask(16, randomOf(seed, 'mask'))
    return mask.reduce((a, b) => a + b, 0) / mask.length
  })
  const mean = shares.reduce((a, b) => a + b, 0) / shares.length
  expect(mean).toBeGreaterThan(0.15)
  expect(mean).toBeLessThan(0.35)
  expect(Math.min(...shares)).toBeLessThan(0.06)
  expect(Math.max(...shares)).toBeGreaterThan(0.5)
})

const space = { latent: [2, 2, 2], picture: [2, 2, 2], classes: 0 }
const conditionOf = (layout: 'stable-diffusion' | 'latent-diffusion') => {
  const { pictures, feeds } = conditionerOf({ kind: 'inpainting', layout }, space)
  return { ...(pictures ?? expect.unreachable('no pictures')), feeds }
}
/** A picture of two channels, of which the second pixel is missing, and the mask. */
const condition = Float32Array.of(0.25, 0, 0.5, 0.75, -0.25, 0, -0.5, -0.75, 0, 1, 0, 0)

it('what a network is told of a mask lies as the published ones have it', () => {
  const told = (layout: 'stable-diffusion' | 'latent-diffusion') =>
    conditionOf(layout).feeds({ labels: [0], pictures: condition }).beside
  expect(told('stable-diffusion')).toEqual(
    floats([1, 3, 2, 2], Float32Array.of(0, 1, 0, 0, 0.25, 0, 0.5, 0.75, -0.25, 0, -0.5, -0.75)),
  )
  expect(told('latent-diffusion')).toEqual(
    floats([1, 3, 2, 2], Float32Array.of(0.25, -1, 0.5, 0.75, -0.25, -1, -0.5, -0.75, -1, 1, -1, -1)),
  )
})
it('nothing of a picture that is missing is told, and what is known comes back', () => {
  fc.assert(
    fc.property(seeds, (seed) => {
      const { of, finish = expect.unreachable('no finish'), feeds } = conditionOf('stable-diffusion')
      const random = (i: number) => randomOf(seed, `${i}`)
      const whole = Float32Array.from({ length: 16 }, (_, i) => Math.sin(i + seed))
      const told = of({ pictures: whole }, random)
      expect(finish(whole, told)).toEqual(whole)
      const drawn = finish(new Float32Array(16).fill(9), told)
      const other = Float32Array.from(whole, (x, i) => (drawn[i] === 9 ? x + 1 : x))
      expect(feeds({ labels: [0, 0], pictures: of({ pictures: other }, random) })).toEqual(
        feeds({ labels: [0, 0], pictures: told }),
      )
    }),
  )
})
