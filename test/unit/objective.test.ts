import { describe, expect, test } from 'vitest'
import { concat, freeze, input, mul, noise, parameter, type Tensor, vector } from '../../src/declare/index.ts'
import { everyTimestep, someTimesteps } from '../../src/diffusion/bits.ts'
import { guide, guideTogether } from '../../src/diffusion/denoiser.ts'
import { denoisingLoss } from '../../src/diffusion/denoising-loss.ts'
import { importanceTimes } from '../../src/diffusion/importance.ts'
import { varianceDenoiser } from '../../src/diffusion/learned-variance.ts'
import { ddpmLoss, fixedLogvar, latentDiffusionLoss } from '../../src/diffusion/objective.ts'
import { discreteProcess, flowProcess } from '../../src/diffusion/process.ts'
import { floats, ints } from '../../src/execute/executor.ts'
import { noiseOf } from '../../src/experiment/objective-terms.ts'
import { contentHash } from '../../src/graph/hash.ts'
import { float, int } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { noiseSchedule } from '../../src/schedulers/noise-schedule.ts'
import { discretePath, mostRatio } from '../../src/schedulers/path.ts'
import { evaluate, right } from './diffusion-fixtures.ts'

const schedule = right(noiseSchedule({ kind: 'cosine', timesteps: 20 }))
const shape = [2, 2, 3, 3]
const batch = { x0: input('x0', float(...shape)), eps: noise('eps', shape), t: input('t', int(2)) }
const weight = parameter('', 'w', [1], { kind: 'ones' })
const net = (x: Tensor): Tensor => pipe(x, mul(weight))
const hash = (y: Tensor): string => contentHash(right(freeze({ y })))

describe('an objective that leaves everything out', () => {
  const says = Object.assign((x: Tensor) => net(x), { predicts: 'v' as const })
  test("is the reference's, node by node", () => {
    const ours = denoisingLoss(discreteProcess(schedule), { vlbWeight: 0.1 })(says, batch).loss
    expect(hash(ours)).toBe(hash(ddpmLoss(schedule, { vlbWeight: 0.1 })(says, batch).loss))
  })
  test('with a log-variance too', () => {
    const logvar = fixedLogvar(20, 0.5)
    const ours = denoisingLoss(discreteProcess(schedule), { logvar })(says, batch).loss
    expect(hash(ours)).toBe(hash(latentDiffusionLoss(schedule, { logvar })(says, batch).loss))
  })
})

describe('a learnt variance', () => {
  const scaled = ({ by }: { readonly by: Tensor }) =>
    varianceDenoiser('eps', (x) => concat(1, pipe(net(x), mul(by)), pipe(net(x), mul(by), mul(2))))
  const [c, u] = [input('c', float(1, 1)), input('u', float(1, 1))]
  const [x, t] = [input('x', float(1, 1)), input('t', int(1))]
  test('is the conditional one under guidance, of one call of the network', async () => {
    const both = guideTogether(3)(scaled, { conditional: { by: c }, unconditional: { by: u } })
    const apart = guide(3)(scaled({ by: c }), scaled({ by: u }))
    const feeds = {
      ...{
        x: floats([1, 1], Float64Array.of(0.5)),
        t: ints([1], Int32Array.of(0)),
        w: floats([1], Float64Array.of(1)),
      },
      ...{ c: floats([1, 1], Float64Array.of(2)), u: floats([1, 1], Float64Array.of(-1)) },
    }
    for (const guided of [both, apart]) {
      const share = guided.variance?.(x, t) ?? x
      const got = await evaluate({ share, said: guided(x, t) }, feeds)
      expect(got.share?.data[0]).toBeCloseTo((2 * 2 * 0.5 + 1) / 2)
      expect(got.said?.data[0]).toBeCloseTo(-0.5 + 3 * 1.5)
    }
  })
})

describe('noise', () => {
  const declared = (offset: number, perturbation: number) =>
    noiseOf(
      {
        ...{ predicts: 'eps', loss: 'l2', elboWeight: 0, weighting: { kind: 'simple' }, variance: { kind: 'fixed' } },
        ...{ timestepSampling: { kind: 'uniform' }, logvar: { initial: 0, learned: false } },
        noise: { offset, perturbation },
      },
      batch.x0,
    )
  test('is plain where nothing is asked for', () => {
    expect(declared(0, 0).eps.op).toBe('noise')
    expect(declared(0, 0).mixed).toBeUndefined()
  })
  test('offset is alike all over a channel, perturbation is mixed in alone', async () => {
    const { eps, mixed = eps } = declared(0.1, 0.2)
    const ones = floats(shape, new Float64Array(36).fill(1))
    const offset = floats([2, 2, 1, 1], Float64Array.of(1, 2, 3, 4))
    const got = await evaluate({ eps, mixed }, { eps: ones, offset, perturbation: ones })
    expect([0, 8, 9, 35].map((i) => got.eps?.data[i])).toEqual([1.1, 1.1, 1.2, 1.4])
    expect((got.mixed?.data[0] ?? 0) - (got.eps?.data[0] ?? 0)).toBeCloseTo(0.2)
  })
})

test('timesteps of a bound stand for all of them', () => {
  for (const parts of [1, 3, 7, 19, 50])
    for (const share of [0, 0.5, 0.99]) {
      const visits = someTimesteps(20, parts, () => share)
      expect(visits.reduce((n, { count }) => n + count, 0)).toBe(20)
      expect(new Set(visits.map(({ t }) => t)).size).toBe(visits.length)
      expect(visits.every(({ t }) => t >= 0 && t < 20)).toBe(true)
    }
  expect(someTimesteps(20, 19, () => 0)).toEqual(everyTimestep(20))
})

test('where all is noise, the last timestep is told', () => {
  const path = discretePath(right(noiseSchedule({ kind: 'linear', timesteps: 20, zeroTerminalSnr: true })))
  expect(path.at(19)).toEqual({ alpha: 0, sigma: 1 })
  expect(path.timeOf(mostRatio)).toBe(19)
  expect(path.timeOf(Number.POSITIVE_INFINITY)).toBe(19)
  expect(flowProcess().path.span).toEqual([1, 1000])
})

describe('importance sampling', () => {
  const full = (per: readonly number[]) =>
    floats([3, 10], Float64Array.from(per.flatMap((x) => Array<number>(10).fill(x))))
  const counts = (...of: readonly number[]) => floats([3], Float64Array.from(of))
  const uniforms = (n: number): Float64Array =>
    Float64Array.from({ length: 3 * n }, (_, i) => Math.abs(Math.sin(i * 12.9898) * 43758.5453) % 1)
  const drawn = (n: number, losses: readonly number[], seen: readonly number[]) => {
    const { t, correction = t } = importanceTimes('', 3, n)
    const feeds = {
      timestep: floats([n, 3], uniforms(n)),
      timestep_losses: full(losses),
      timestep_counts: counts(...seen),
    }
    return evaluate({ t, correction }, feeds)
  }
  test('draws as often as losses are large, and corrects for it', async () => {
    const got = await drawn(6000, [1, 2, 5], [10, 14, 12])
    const often = [0, 1, 2].map((t) => Array.from(got.t?.data ?? []).filter((x) => x === t).length / 6000)
    for (const [t, p] of [1 / 8, 2 / 8, 5 / 8].entries()) {
      expect(Math.abs((often[t] ?? 0) - p)).toBeLessThan(0.02)
      const i = Array.from(got.t?.data ?? []).indexOf(t)
      expect(got.correction?.data[i]).toBeCloseTo(1 / (3 * (0.999 * p + 0.001 / 3)), 6)
    }
  })
  test('is uniform until all have been seen ten times', async () => {
    const got = await drawn(6000, [1, 2, 5], [10, 9, 12])
    for (const t of [0, 1, 2])
      expect(Math.abs(Array.from(got.t?.data ?? []).filter((x) => x === t).length / 6000 - 1 / 3)).toBeLessThan(0.02)
    expect(got.correction?.data[0]).toBeCloseTo(1)
  })
  test('remembers the last ten losses of each, also where a batch has one twice', async () => {
    const chosen = [1, 1, 2, 1]
    const { record } = importanceTimes('', 3, 4)
    const left = record(vector([0.1, 0.2, 0.3, 0.4]))
    const timestep = floats(
      [4, 3],
      Float64Array.from(chosen.flatMap((t) => [0, 1, 2].map((k) => (k === t ? 0.999 : 0.1)))),
    )
    const got = await evaluate(left, { timestep, timestep_losses: full([7, 7, 7]), timestep_counts: counts(0, 9, 19) })
    const rows = Array.from(got.timestep_losses?.data ?? [])
    expect(rows.slice(10, 20)).toEqual([0.2, 0.4, 7, 7, 7, 7, 7, 7, 7, 0.1])
    expect(rows.slice(20)).toEqual([7, 7, 7, 7, 7, 7, 7, 7, 7, 0.3])
    expect(Array.from(got.timestep_counts?.data ?? [])).toEqual([0, 12, 10])
  })
})
