import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { constant } from '../../src/declare/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { decodeExperiment } from '../../src/experiment/decode.ts'
import { float } from '../../src/graph/types.ts'
import { law, lawOf } from '../../src/laws/law.ts'
import { experimentLaws } from '../../src/laws/of-experiment.ts'
import { samplerLaws } from '../../src/laws/samplers.ts'
import { formulaLaws } from '../../src/laws/schedules.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import { ddim, type Sampler } from '../../src/samplers/index.ts'
import { noiseSchedule } from '../../src/schedulers/noise-schedule.ts'

const linesOf = async (found: ReturnType<typeof samplerLaws>[number] | undefined): Promise<readonly string[]> =>
  (await found?.check(reference, { seed: 1, runs: 5 })())?.counterexample?.lines ?? []

describe('a counterexample', () => {
  /** A sampler that takes too little noise away in every step: as if eta were 0.5, and nothing drawn. */
  const slip: Sampler = { ...ddim({ eta: 0.5, temperature: 0 }), name: 'slip' }
  test('says which step is wrong, what was expected there and what came', async () => {
    const [first, , , ...others] = await linesOf(samplerLaws(slip)[0])
    expect(first).toMatch(/^slip, step 1 of \d+, the first that is wrong$/)
    const [signal, noise] = others.map((line) => line.split(/\s{2,}(?:expected )?/))
    expect(signal?.[0]).toBe('share of x_0')
    expect(noise?.join(' ')).toMatch(/share of noise [\d.]+ +came [\d.]+/)
  })
  test('is small, and not at the threshold', async () => {
    const above = law({
      name: 'numbers are below 10',
      equation: 'x < 10',
      source: 'nobody',
      tolerance: { float64: 1e-9, float32: 1e-9 },
      arbitrary: fc.record({ x: fc.integer({ min: 0, max: 1000 }), y: fc.integer({ min: 0, max: 1000 }) }),
      deviation: ({ x }) => TE.right(Math.max(0, x - 10)),
      tells: ({ x, y }) => TE.right([`${x} ${y}`]),
    })
    const { counterexample, seed } = await above.check(reference, { seed: 3 })()
    const [x = 0, y] = counterexample?.lines[0]?.split(' ').map(Number) ?? []
    expect(y).toBe(0)
    expect(x).toBeGreaterThan(20)
    const again = await above.check(reference, { seed, path: counterexample?.path ?? '' })()
    expect(again.counterexample?.lines).toEqual(counterexample?.lines)
  })
})

describe('a schedule that is not what its name says', () => {
  const declared = { kind: 'scaled-linear', timesteps: 50, betaStart: 0.01, betaEnd: 0.09 } as const
  const rightOne = noiseSchedule({ ...declared, vPosterior: 0 })
  const check = async (betas: (of: readonly number[]) => readonly number[]) => {
    if (E.isLeft(rightOne)) throw new Error(JSON.stringify(rightOne.left))
    const [found] = formulaLaws(declared, { ...rightOne.right, betas: betas(rightOne.right.betas) })
    return found?.check(reference, { seed: 1 })()
  }
  test('is told from one that is, at its first timesteps', async () => {
    expect(await check((betas) => betas)).toMatchObject({ holds: true })
    const verdict = await check((betas) => betas.map(Math.sqrt))
    expect(verdict?.counterexample?.lines[0]).toMatch(/^at timestep \d of 50$/)
    expect(verdict?.counterexample?.lines[1]).toMatch(/^variance beta +expected 0\.0\d+ +came 0\.[1-3]\d*$/)
  })
})

test('a law that tells nothing of its own says what its case was, and what came', async () => {
  const broken = lawOf({
    name: 'x is 1',
    equation: 'x = 1',
    source: 'nobody',
    tolerance: { float64: 1e-9, float32: 1e-9 },
    arbitrary: fc.record({ s: fc.constant({ timesteps: 12, betas: [0.1] }), x: fc.constant([2, 3, 4, 5, 6]) }),
    outputs: ({ x }) => ({ x: constant(x, float(5)) }),
    deviation: ({ x }) => Math.abs((x[0] ?? 0) - 1),
  })
  expect((await broken.check(reference, { seed: 1 })()).counterexample?.lines).toEqual([
    'of a schedule of 12 timesteps, x [2, 3, 4, 5, ... (5)]',
    'x                    2, 3, 4, 5, ... (5)',
  ])
})

test('an experiment is held to the laws of the parts that it has', async () => {
  const parts = pipe(
    decodeExperiment({
      name: 'a',
      data: { kind: 'shapes', size: 16 },
      firstStage: { kind: 'identity' },
      diffusion: {
        schedule: { kind: 'cosine', timesteps: 20 },
        unet: {
          inChannels: 3,
          outChannels: 3,
          modelChannels: 32,
          resBlocks: 1,
          attentionFactors: [],
          heads: { by: 'count', count: 1 },
          channelMultipliers: [1, 2],
        },
        training: {
          steps: 2,
          batchSize: 1,
          optimizer: { kind: 'sgd' },
          learningRate: { kind: 'constant', rate: 1e-3 },
        },
      },
      sampling: { sampler: 'ddim', steps: 5 },
    }),
    E.flatMap(experimentLaws),
  )
  if (E.isLeft(parts)) throw new Error(JSON.stringify(parts.left))
  expect(parts.right.map(({ name }) => name)).toEqual([
    'schedule cosine, 20 timesteps',
    'objective, on 12 timesteps of this schedule',
    'sampler ddim, along this schedule',
    'optimiser sgd of the diffusion model',
    'networks, shrunk to small pictures',
  ])
  const names = parts.right.flatMap(({ laws }) => laws.map((l) => l.name))
  expect(names).toContain('ddim converges with order 1')
  expect(names).toContain('SGD remembers gradients at full weight')
  expect(names.filter((name) => name.includes('Adam'))).toEqual([])
  for (const { laws } of parts.right)
    for (const l of laws) expect(await l.check(reference, { seed: 1, runs: 1 })()).toMatchObject({ holds: true })
})
