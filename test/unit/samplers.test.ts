import { describe, expect, test } from 'vitest'
import { mul } from '../../src/declare/index.ts'
import { denoiser } from '../../src/diffusion/denoiser.ts'
import { dynamicThreshold, within } from '../../src/diffusion/keep.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { planOf, previewOf, requested, samplerNames, samplerOf, sampling } from '../../src/experiment/sampling.ts'
import { feedTypes, noises } from '../../src/graph/graph.ts'
import { E, pipe, TE } from '../../src/prelude.ts'
import {
  chain,
  coefficientOf,
  combine,
  ddim,
  ddpm,
  dpmMultistep,
  dpmpp2m,
  euler,
  eulerAncestral,
  expand,
  heun,
  hold,
  initialNoise,
  keyedNoise,
  noise,
  type PlannedStep,
  planSampling,
  planWalk,
  predict,
  type Sampler,
  sample,
  sampler,
  stepGraph,
  unipc,
} from '../../src/samplers/index.ts'
import { levelsOf, type Spacing, spacings } from '../../src/schedulers/levels.ts'
import { noiseSchedule } from '../../src/schedulers/noise-schedule.ts'
import {
  dataLevel,
  discretePath,
  explodingPath,
  flowPath,
  levelAt,
  levelOfRatio,
  snrOf,
} from '../../src/schedulers/path.ts'
import { decode } from '../../src/schema.ts'
import { done, right } from './diffusion-fixtures.ts'
import { waves } from './diffusion-toys.ts'

const schedule = right(noiseSchedule({ kind: 'linear', timesteps: 10 }))
const thousand = discretePath(
  right(noiseSchedule({ kind: 'scaled-linear', timesteps: 1000, betaStart: 0.00085, betaEnd: 0.012 })),
)
const path = discretePath(schedule)
const at = (t: number) => (t < 0 ? dataLevel(path) : levelAt(path, t))
const down = (...timesteps: readonly number[]) => chain(timesteps.map(at))
const own = (spacing: Spacing): boolean => spacing !== 'uniform' && spacing !== 'quad'

describe('levels', () => {
  test.each(spacings.filter(own))('%s gives as many steps as asked for, falling, to the data', (kind) => {
    const all = Array.from({ length: 1000 }, (_, i) => i + 1)
    // Quantiles are found by halving.
    const some = kind === 'beta' ? all.filter((n) => n <= 50 || n % 50 === 0 || n >= 998) : all
    const wrong = some.filter((steps) => {
      const levels = right(levelsOf(thousand, { kind, steps }))
      const falls = levels.every(
        (level, i) => i === 0 || level.sigma / level.alpha < (levels[i - 1]?.sigma ?? 0) / (levels[i - 1]?.alpha ?? 1),
      )
      return levels.length !== steps + 1 || levels.at(-1)?.sigma !== 0 || !falls
    })
    expect(wrong).toEqual([])
  })
  test.each([
    ['leading', 3, [6, 3, 0]],
    ['trailing', 4, [9, 7, 4, 1]],
    ['linspace', 4, [9, 6, 3, 0]],
  ] as const)('%s of 10 timesteps, %i of them', (kind, steps, expected) => {
    expect(
      right(levelsOf(path, { kind, steps }))
        .slice(0, -1)
        .map(({ t }) => t),
    ).toEqual(expected)
  })
  test("the reference's spacings are as they are, and say where they end", () => {
    const uniform = right(levelsOf(thousand, { kind: 'uniform', steps: 10 })).map(({ t }) => t)
    expect(uniform).toEqual([901, 801, 701, 601, 501, 401, 301, 201, 101, 1, 0])
    expect(E.isLeft(levelsOf(thousand, { kind: 'uniform', steps: 600 }))).toBe(true)
    expect(E.isLeft(levelsOf(flowPath(), { kind: 'quad', steps: 5 }))).toBe(true)
  })
  test('a count of steps that a path has not is refused', () => {
    for (const steps of [0, 1001, 1.5]) expect(E.isLeft(levelsOf(thousand, { kind: 'trailing', steps }))).toBe(true)
    expect(right(levelsOf(flowPath(), { kind: 'trailing', steps: 2000 }))).toHaveLength(2001)
  })
  test('SNR falls with the time on every path, and times are found again', () => {
    for (const p of [thousand, flowPath({ shift: 3 }), explodingPath(0.01, 80)]) {
      const [least, most] = p.span
      const times = Array.from({ length: 20 }, (_, i) => least + (i / 19) * (most - least))
      times.slice(1).forEach((t, i) => {
        expect(snrOf(p.at(t))).toBeLessThan(snrOf(p.at(times[i] ?? 0)))
      })
      for (const t of times.slice(0, -1)) expect(p.timeOf(p.at(t).sigma / p.at(t).alpha)).toBeCloseTo(t, 6)
    }
  })
  test('a shifted flow has more noise by the factor at every share of the way', () => {
    const [plain, shifted] = [flowPath(), flowPath({ shift: 3 })]
    for (const share of [0.1, 0.5, 0.9]) {
      const [a, b] = [plain.at(plain.along(share)), shifted.at(shifted.along(share))]
      expect(b.sigma / b.alpha).toBeCloseTo((3 * a.sigma) / a.alpha, 10)
    }
  })
})

const plan = (s: Sampler, ...timesteps: readonly number[]) => right(planSampling(s, path, down(...timesteps)))
const errors = (s: Sampler, ...timesteps: readonly number[]): readonly string[] => {
  const made = planSampling(s, path, down(...timesteps))
  return E.isLeft(made) ? made.left.map((e) => `${e.at}: ${e.got}`) : []
}
const factor = (step: PlannedStep | undefined, target: 'x', source: 'noise' | 'x0' | 'eps'): number | undefined =>
  step?.coefficients[coefficientOf({ target, source })]

describe('a plan', () => {
  test('is refused with all its faults', () => {
    expect(errors(ddim({ eta: 2, temperature: -1 }), 9)).toEqual(['/eta: 2', '/temperature: -1', '/steps: 0'])
    expect(errors(ddpm({ vPosterior: 2 }), 9, -1)).toEqual(['/vPosterior: 2'])
    expect(errors(dpmMultistep({ integrand: 'eps' }), 9, 3, -1)).toHaveLength(1)
  })
  test("follows the schedule's posterior variance, its mixture included", () => {
    const mixed = right(noiseSchedule({ kind: 'linear', timesteps: 10, vPosterior: 0.3 }))
    const steps = plan(ddpm({ vPosterior: 0.3 }), 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1).steps
    steps.slice(0, -1).forEach((step) => {
      expect(factor(step, 'x', 'noise')).toBeCloseTo(Math.sqrt(mixed.posteriorVariance[step.level.t] ?? Number.NaN), 12)
    })
    expect(factor(steps.at(-1), 'x', 'noise')).toBe(0)
  })
  test('has one step for each call of the network, and remembers no more than it needs', () => {
    const shape = (s: Sampler) => {
      const { steps, memory, uses } = plan(s, 9, 6, 3, -1)
      return [steps.length, memory, uses.noise]
    }
    expect(shape(euler())).toEqual([3, 0, false])
    expect(shape(ddim({ eta: 1 }))).toEqual([3, 0, true])
    expect(shape(dpmpp2m())).toEqual([3, 1, false])
    expect(shape(heun())).toEqual([5, 2, false])
    expect(shape(unipc())[1]).toBeLessThanOrEqual(3)
  })
  test('may stay at a level, as many steps of quad spacing do', () => {
    expect(plan(ddim({ eta: 1 }), 1, 1, -1).uses.noise).toBe(false)
  })
  test('a kept array is computed once: a walk that refers far back does not grow', () => {
    const averaging = sampler({
      name: 'averaging',
      order: 0,
      *walk({ transitions, start }) {
        let [x, sum] = [start, combine()]
        for (const { here, next } of transitions) {
          const { x0, eps } = yield* predict(here, x)
          sum = yield* hold(combine([0.5, sum], [0.5, x0]))
          x = combine([next.alpha, sum], [next.sigma, eps])
        }
        return x
      },
    })
    expect(plan(averaging, 9, 8, 7, 6, 5, 4, 3, 2, 1, -1).memory).toBe(1)
  })
  test('noise before the first call is a bug', () => {
    const hasty = sampler({
      name: 'hasty',
      order: 0,
      *walk({ start }) {
        return combine([1, start], [1, yield* noise()])
      },
    })
    expect(() => planSampling(hasty, path, down(9, -1))).toThrow('hasty')
  })
})

test('combinations add up', () => {
  expect(combine([2, { a: 1, b: 3 }], [-1, { b: 1 }])).toEqual({ a: 2, b: 5 })
  expect(expand({ s: 2, a: 1 }, { s: { a: 1, b: 4 } })).toEqual({ a: 3, b: 8 })
})

const model = denoiser('eps', waves())
const shape = [2, 1, 2, 2]
const run = async (s: Sampler, more: Partial<Parameters<typeof sample>[0]> = {}) => {
  const planned = plan(s, 8, 4, 1, -1)
  const graph = right(stepGraph(planned, model, { shape }))
  const executable = await done(reference.compile(graph, { mode: 'sampling' }))
  return sample({
    plan: planned,
    graph,
    executable,
    from: initialNoise(3, [0, 1], [1, 2, 2]),
    noiseOf: keyedNoise(3, [0, 1]),
    ...more,
  })()
}

describe('a run', () => {
  test('needs no noise where eta is 0', () => {
    expect(noises(right(stepGraph(plan(ddim(), 8, -1), model, { shape })))).toEqual([])
    expect(noises(right(stepGraph(plan(eulerAncestral({ eta: 0 }), 8, -1), model, { shape })))).toEqual([])
  })
  test('ends where its listener says so', async () => {
    const result = await run(ddpm(), {
      onStep: ({ done: count }) =>
        count < 2 ? TE.right(undefined) : TE.left([{ tag: 'run', at: 'listener', expected: 'no more', got: 'enough' }]),
    })
    expect(E.isLeft(result) && result.left.map((e) => e.at)).toEqual(['listener'])
  })
  test('x is read back only where it is asked for, and is what the next step starts from', async () => {
    const seen: Values[] = []
    const whole = right(
      await run(dpmpp2m(), {
        onStep: ({ x }) =>
          pipe(
            x,
            TE.tapIO((value) => () => seen.push({ x: value })),
            TE.asUnit,
          ),
      }),
    )
    expect(seen).toHaveLength(3)
    expect(seen.at(-1)?.x?.data).toEqual(whole.x.data)
  })
  test('a plan for a learnt variance needs a network that learnt one', () => {
    expect(E.isLeft(stepGraph(plan(ddpm({ vPosterior: 'learned' }), 8, -1), model, { shape }))).toBe(true)
    const learnt = Object.assign(denoiser('eps', waves()), {
      variance: (x: Parameters<typeof model>[0]) => pipe(x, mul(0)),
    })
    const graph = right(stepGraph(plan(ddpm({ vPosterior: 'learned' }), 8, 4, -1), learnt, { shape }))
    expect(Object.keys(feedTypes(graph))).toContain('sampler/coefficients/most')
  })
})

describe('predictions are kept', () => {
  const kept = async (keep: ReturnType<typeof within>, x0: readonly number[]) => {
    const planned = plan(ddim(), 8, -1)
    const oracle = denoiser('x0', (x) => x)
    const graph = right(stepGraph(planned, oracle, { shape: [1, x0.length], keep, watch: ['predX0'] }))
    const executable = await done(reference.compile(graph, { mode: 'sampling' }))
    const seen: number[][] = []
    await done(
      sample({
        plan: planned,
        graph,
        executable,
        from: floats([1, x0.length], Float64Array.from(x0)),
        noiseOf: keyedNoise(0, [0]),
        onStep: ({ watched }) => TE.fromIO(() => void seen.push(Array.from(watched.predX0?.data ?? []))),
      }),
    )
    return seen[0]
  }
  test('in a range', async () => expect(await kept(within(1), [-3, 0.5, 2])).toEqual([-1, 0.5, 1]))
  test('below a quantile, which lies between two numbers', async () => {
    const [x0, share] = [[4, -3, 2, 1, 0], 0.9]
    // |x_0| sorted: 0 1 2 3 4; at 3.6: 3.6
    const s = 3.6
    const expected = x0.map((x) => Math.max(-s, Math.min(s, x)) / s)
    ;(await kept(dynamicThreshold({ share, most: 10 }), x0))?.forEach((x, i) => {
      expect(x).toBeCloseTo(expected[i] ?? Number.NaN, 10)
    })
    expect(await kept(dynamicThreshold({ share, most: 1 }), x0)).toEqual([1, -1, 1, 1, 0])
  })
})

describe('a declared sampling', () => {
  const declared = (u: unknown) => decode(sampling)(u)
  test.each(samplerNames)('%s is planned from its defaults on every path', (name) => {
    const s = right(declared({ sampler: name, ...(name === 'ddpm' ? {} : { steps: 7 }) }))
    for (const p of [path, flowPath(), explodingPath(0.02, 20)]) {
      const made = planOf(name === 'ddpm' ? { ...s, steps: 7 } : s, p)
      expect(E.isRight(made), JSON.stringify(made)).toBe(true)
    }
    expect(right(samplerOf(s)).name.length).toBeGreaterThan(0)
    const few = discretePath(right(noiseSchedule({ kind: 'cosine', timesteps: 4 })))
    for (const p of [thousand, few, flowPath()]) expect(E.isRight(planOf(previewOf(s, p), p))).toBe(true)
  })
  test('a walk of one step that divides by zero is refused, though its numbers are those of every step', () => {
    const s = right(declared({ sampler: 'dpm-multistep', integrand: 'eps', steps: 1 }))
    const hint = '--set /sampling/integrand=x0'
    expect(planOf(s, flowPath())).toMatchObject({ left: [{ at: '/spacing', hint }] })
  })
  test('ancestral sampling visits every timestep unless told otherwise', () => {
    const s = right(declared({ sampler: 'ddpm' }))
    expect(right(planOf(s, path)).steps).toHaveLength(10)
    expect(right(planOf(right(requested(s, { steps: 5 })), path)).steps).toHaveLength(5)
  })
  test('an option that a sampler does not read is refused by name', () => {
    const s = right(declared({}))
    const asked = requested(s, { sampler: 'euler', eta: 0.5 })
    expect(E.isLeft(asked) && asked.left.map((e) => e.at)).toEqual(['/eta'])
    expect(right(requested(s, { sampler: 'ddim', eta: 0.5, steps: 3 }))).toMatchObject({
      sampler: 'ddim',
      eta: 0.5,
      steps: 3,
    })
  })
  test('a walk that begins in pure noise is finite for all', () => {
    const levels = [
      levelOfRatio(flowPath(), Number.POSITIVE_INFINITY),
      levelOfRatio(flowPath(), 1),
      dataLevel(flowPath()),
    ]
    for (const name of samplerNames) {
      const s = right(declared({ sampler: name }))
      expect(E.isRight(planSampling(right(samplerOf(s)), flowPath(), chain(levels))), name).toBe(true)
    }
    expect(right(planWalk(dpmpp2m(), flowPath(), { kind: 'trailing', steps: 4 })).steps).toHaveLength(4)
  })
})
