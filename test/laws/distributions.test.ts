import { describe, expect, test } from 'vitest'
import { add, mul, neg } from '../../src/declare/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import {
  diagonalGaussians,
  distributionLaws,
  type GaussianImplementation,
  gaussianLaws,
} from '../../src/laws/distributions.ts'
import { pipe } from '../../src/prelude.ts'
import { holdAll } from './held.ts'

holdAll(distributionLaws)

describe('a law notices', () => {
  const broken = async (change: Partial<GaussianImplementation>): Promise<readonly string[]> => {
    const verdicts = await Promise.all(
      gaussianLaws({ ...diagonalGaussians, ...change }).map((l) => l.check(reference, { seed: 7 })()),
    )
    return verdicts.filter((v) => !v.holds).map((v) => v.law)
  }
  test("the note's KL, of reversed sign", async () => {
    expect(await broken({ kl: (p, q) => neg(diagonalGaussians.kl(p, q)) })).toContain('KL is not negative')
  })
  test('a likelihood without its constant', async () => {
    expect(await broken({ nll: (x, p) => pipe(diagonalGaussians.nll(x, p), add(-0.5)) })).toEqual([
      'the density integrates to 1',
    ])
  })
  test('a doubled KL', async () => {
    expect(await broken({ kl: (p, q) => pipe(diagonalGaussians.kl(p, q), mul(2)) })).toEqual([
      'KL is the expected log-ratio',
    ])
  })
  test('a sample that takes the variance for the deviation', async () => {
    expect(await broken({ sample: (n, p) => pipe(n, mul(p.logvar), add(p.mean)) })).toContain(
      'samples have the mean and the deviation',
    )
  })
})
