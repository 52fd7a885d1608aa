import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parameter, square, sum } from '../../src/declare/index.ts'
import { fillNormal, fold, key } from '../../src/distributions/random.ts'
import { floats, type Value, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { gammaOf, mostSigmaRel, postHocAverage, powerEma, sigmaRelOf } from '../../src/optimizers/index.ts'
import { pipe, RR } from '../../src/prelude.ts'
import { saveSnapshot, synthesised, tidySnapshots } from '../../src/train/snapshots.ts'
import { trainingStep } from '../../src/train/step.ts'
import { right } from '../arbitrary/run.ts'

/** A random walk, and its averages by powers after each step: of step n at n - 1. */
const walked = (steps: number, sigmaRels: readonly number[]) => {
  const [walk, moves] = [[0], new Float32Array(steps)]
  fillNormal(fold(key(5), 'walk'), moves)
  for (const move of moves) walk.push((walk.at(-1) ?? 0) + move)
  return sigmaRels.map((width) => {
    const average = powerEma(width)
    const averages: number[] = []
    for (const [i, x] of walk.slice(1).entries()) {
      const before = averages.at(-1) ?? 1e9
      averages.push(before - average.at(i + 1).forget * (before - x))
    }
    return averages
  })
}

describe('averages by powers', () => {
  it("have the reference's powers, and are named by their widths", () => {
    /** `sigma_rel_to_gamma` of NVlabs/edm2, training/phema.py. */
    for (const [width, gamma] of [
      [0.05, 16.972198602303447],
      [0.1, 6.937203937601809],
      [0.15, 3.5578687748994646],
      [0.25, 0.71982395800071],
    ] as const)
      expect(gammaOf(width)).toBeCloseTo(gamma, 10)
    expect(gammaOf(mostSigmaRel)).toBeCloseTo(0, 10)
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: mostSigmaRel, noNaN: true }), (width) => {
        expect(sigmaRelOf(gammaOf(width))).toBeCloseTo(width, 12)
      }),
    )
  })
  it('are in a training step beside the other average, and begin as copies', async () => {
    const w = parameter('w', 'w', [1], { kind: 'ones' })
    const plan = right(
      trainingStep(
        { loss: pipe(w, square, sum()), log: {} },
        {
          ...{ steps: 9, optimizer: { kind: 'sgd', momentum: 0, weightDecay: 0 }, emaDecay: 0.5 },
          ...{ learningRate: { kind: 'constant', rate: 0.1 }, postHocEma: { sigmaRel: [0.1, 0.2], every: 3 } },
        },
      ),
    )
    const initial = plan.initial(1, { 'w.w': floats([1], Float32Array.of(2)) })
    expect(RR.map((v: Value) => v.data[0])(initial)).toMatchObject({
      'w.w': 2,
      'ema.shadow.w.w': 2,
      'ema.power0.shadow.w.w': 2,
      'ema.power1.shadow.w.w': 2,
    })
    const executable = right(await reference.compile(plan.graph, { mode: 'training' })())
    const stepper = right(await executable.start(plan.carry, initial)())
    for (let step = 0; step < 3; step++) right(await stepper.step(plan.hostFeeds(step))())
    const after = right(await stepper.read())
    const [first, second, third] = [1.6, 1.28, 1.024]
    ;[0.1, 0.2].forEach((width, i) => {
      const beta = (n: number): number => (1 - 1 / n) ** (gammaOf(width) + 1)
      const expected = beta(3) * (beta(2) * first + (1 - beta(2)) * second) + (1 - beta(3)) * third
      expect(after[`ema.power${i}.shadow.w.w`]?.data[0]).toBeCloseTo(expected, 5)
    })
  })
  it('begin as what the first step leaves; the widest is the mean', () => {
    const [narrow = [], mean = []] = walked(50, [0.05, mostSigmaRel])
    expect(Math.abs((narrow[0] ?? 0) - (mean[0] ?? 0))).toBeLessThan(1e-6)
    const [walk = []] = walked(50, [0.001])
    expect(mean[49]).toBeCloseTo(walk.reduce((a, b) => a + b, 0) / 50, 1)
  })
})

describe('averages made after training', () => {
  const profiles = [100, 200, 300].flatMap((step) => [0.05, 0.1].map((width) => ({ step, gamma: gammaOf(width) })))
  it("have the reference's weights", () => {
    /** `solve_posthoc_coefficients` of NVlabs/edm2, training/phema.py, in NumPy. */
    const expected = {
      0.075: [
        1.4426470102627873e-6, -2.578865761527883e-5, 0.003404684968892442, -0.02049566322712773, 0.35097156442952376,
        0.6871391841658046,
      ],
      0.15: [
        -0.002008920459952844, 0.006948819646119282, -0.04699531368280267, 0.13589736260507396, -0.28401584088977905,
        1.1227300592579799,
      ],
    }
    for (const [width, weights] of Object.entries(expected))
      postHocAverage(profiles, { step: 300, gamma: gammaOf(Number(width)) }).weights.forEach((x, i) => {
        expect(x).toBeCloseTo(weights[i] ?? Number.NaN, 10)
      })
  })
  it('are those that are stored, where these are asked for', () => {
    profiles.forEach((profile, i) => {
      const { weights, error } = postHocAverage(profiles, profile)
      weights.forEach((x, j) => {
        expect(x).toBeCloseTo(i === j ? 1 : 0, 8)
      })
      expect(error).toBeLessThan(1e-6)
    })
  })
  it('are what they would have been: within a hundredth of how far stored ones are apart', () => {
    const steps = 2000
    const [narrow = [], wide = [], between = []] = walked(steps, [0.05, 0.1, 0.075])
    const at = (step: number): readonly number[] => [narrow[step - 1] ?? 0, wide[step - 1] ?? 0]
    const stored = Array.from({ length: 20 }, (_, i) => (i + 1) * 100)
    const { weights, error } = postHocAverage(
      stored.flatMap((step) => [0.05, 0.1].map((width) => ({ step, gamma: gammaOf(width) }))),
      { step: steps, gamma: gammaOf(0.075) },
    )
    const made = stored.flatMap(at).reduce((sum, x, i) => sum + x * (weights[i] ?? 0), 0)
    const apart = Math.abs((narrow[steps - 1] ?? 0) - (wide[steps - 1] ?? 0))
    expect(error).toBeLessThan(0.01)
    expect(Math.abs(made - (between[steps - 1] ?? 0))).toBeLessThan(0.01 * apart)
  })
})

describe('snapshots', () => {
  let dir = ''
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'latentgraph-snapshots-'))
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))
  const stored = { sigmaRel: [0.05, 0.1], every: 10 }
  const state = (a: number, b: number): Values => ({
    w: floats([2], Float32Array.of(9, 9)),
    'ema.power0.shadow.w': floats([2], Float32Array.of(a, 2 * a)),
    'ema.power1.shadow.w': floats([2], Float32Array.of(b, 2 * b)),
  })
  it('hold the averages alone, and give others up to the last of them', async () => {
    for (const [step, a, b] of [
      [10, 1, 2],
      [20, 3, 4],
      [30, 5, 6],
    ] as const)
      right(await saveSnapshot(dir, stored, step, state(a, b), {})())
    const { weights, snapshots, step, error } = right(await synthesised(dir, stored, 0.1)())
    expect([snapshots, step, weights.w?.shape]).toEqual([3, 30, [2]])
    expect(weights.w?.data[0]).toBeCloseTo(6, 5)
    expect(weights.w?.data[1]).toBeCloseTo(12, 5)
    expect(error).toBeLessThan(1e-6)
    right(await tidySnapshots(dir, (s) => s <= 20)())
    expect(await readdir(join(dir, 'averages'))).toEqual(['step-00000010', 'step-00000020'])
    expect(right(await synthesised(dir, stored, 0.05)()).weights.w?.data[0]).toBeCloseTo(3, 5)
  })
  it('that are not there are an error', async () => {
    expect(await synthesised(dir, undefined, 0.1)()).toMatchObject({ left: [{ tag: 'file' }] })
    expect(await synthesised(dir, stored, 0.1)()).toMatchObject({ left: [{ tag: 'file' }] })
  })
})
