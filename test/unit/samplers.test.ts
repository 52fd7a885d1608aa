import { describe, expect, test } from 'vitest'
import { denoiser, guide } from '../../src/diffusion/denoiser.ts'
import { floats, type Value } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { noises } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { E, TE } from '../../src/prelude.ts'
import {
  ddim,
  ddpm,
  descend,
  initialNoise,
  keyedNoise,
  type NoiseRequest,
  type Sampler,
  sample,
  stepGraph,
  type Transition,
} from '../../src/samplers/index.ts'
import { compVisSubset, descendBy } from '../../src/samplers/transitions.ts'
import { type CompVisSchedule, noiseScheduleFromCompVis } from '../../src/schedulers/compvis.ts'
import { type NoiseSchedule, noiseSchedule } from '../../src/schedulers/noise-schedule.ts'
import { timesteps } from '../../src/schedulers/timesteps.ts'
import { done, type Fixture, fixtures, near, right } from './diffusion-fixtures.ts'
import { waves } from './diffusion-toys.ts'

const has = (f: Fixture<unknown>, name: string): boolean => Object.hasOwn(f.arrays, name)
const rowOf = (v: Value, i: number): Value => {
  const shape = v.shape.slice(1)
  return floats(shape, Float64Array.from(v.data).subarray(i * size(shape), (i + 1) * size(shape)))
}
const all = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i)

interface Planned {
  readonly schedule: NoiseSchedule
  readonly sampler: Sampler
  readonly transitions: readonly Transition[]
  readonly predicts: 'eps' | 'x0'
  readonly guidance?: number
}

/** Samples as a fixture did; every x and every predicted x_0 is handed to `seen`. */
const replay = async (
  f: Fixture<unknown>,
  { schedule, sampler, transitions, predicts, guidance = 1 }: Planned,
  seen: (i: number, x: Value, predX0: Value) => void,
): Promise<Value> => {
  const plan = right(sampler.plan(schedule, transitions))
  const network = (c: string) => denoiser(predicts, waves(has(f, c) ? f.leaf(c) : undefined))
  const conditional = network('in.cond')
  const xT = f.value('in.x_T')
  const graph = right(
    stepGraph(sampler, guidance === 1 ? conditional : guide(guidance)(conditional, network('in.uncond')), {
      shape: xT.shape,
      inpaint: has(f, 'in.mask'),
    }),
  )
  const recorded: Readonly<Record<string, string>> = { 'sampler/noise': 'in.noise', 'sampler/maskNoise': 'in.q_noise' }
  const noiseOf = ({ name, step, shape }: NoiseRequest): Value => {
    const drawn = f.value(recorded[name] ?? name)
    return step < (drawn.shape[0] ?? 0) ? rowOf(drawn, step) : floats(shape, new Float64Array(size(shape)))
  }
  const feeds = {
    ...(has(f, 'in.mask') ? { 'sampler/x0': f.value('in.x0'), 'sampler/mask': f.value('in.mask') } : {}),
    ...(has(f, 'in.cond') ? { 'in.cond': f.value('in.cond') } : {}),
    ...(guidance === 1 ? {} : { 'in.uncond': f.value('in.uncond') }),
  }
  const executable = await done(reference.compile(graph, { mode: 'sampling' }))
  const onStep = ({
    step,
    x,
    predX0,
  }: {
    readonly step: { readonly index: number }
    readonly x: Value
    readonly predX0: Value
  }) => TE.fromIO(() => seen(step.index, x, predX0))
  return done(sample({ graph, executable, plan, xT, noiseOf, feeds, onStep }))
}

interface DdimConfig extends CompVisSchedule {
  readonly S: number
  readonly ddim_discretize: 'uniform' | 'quad'
  readonly eta: number
  readonly temperature: number
  readonly guidance_scale: number
  readonly subset_timesteps: number | null
  readonly use_original_steps: boolean
  readonly timesteps: number
}

test.each(fixtures<DdimConfig>('sampler', /^ddim_/))('$name', async (f) => {
  const { config } = f
  const schedule = right(noiseSchedule(right(noiseScheduleFromCompVis(config))))
  const visited = config.use_original_steps
    ? all(config.timesteps)
    : right(timesteps({ kind: config.ddim_discretize, steps: config.S }, config.timesteps))
  const kept = config.subset_timesteps === null ? visited : compVisSubset(visited, config.subset_timesteps)
  const planned: Planned = {
    schedule,
    sampler: ddim({
      eta: config.eta,
      temperature: config.temperature,
      end: config.use_original_steps ? 'data' : 'first timestep',
    }),
    transitions: descend(kept),
    predicts: 'eps',
    guidance: config.guidance_scale,
  }
  const final = await replay(f, planned, (i, x, predX0) => {
    near(`x ${i}`, x, rowOf(f.value('out.x_inter'), i + 1), 1e-5)
    near(`predX0 ${i}`, predX0, rowOf(f.value('out.pred_x0'), i), 1e-5)
  })
  expect(kept.length + 1).toBe(f.value('out.x_inter').shape[0])
  near('final', final, f.value('out.final'), 1e-5)
})

interface DdpmConfig extends CompVisSchedule {
  readonly parameterization: 'eps' | 'x0'
  readonly clip_denoised: boolean
  readonly timesteps: number
}

test.each(fixtures<DdpmConfig>('sampler', /^ddpm_/))('$name', async (f) => {
  const { config } = f
  const planned: Planned = {
    schedule: right(noiseSchedule(right(noiseScheduleFromCompVis(config)))),
    sampler: ddpm(config.clip_denoised ? { clip: 1 } : {}),
    transitions: descend(all(config.timesteps)),
    predicts: config.parameterization,
  }
  const final = await replay(f, planned, (i, x) => near(`x ${i}`, x, rowOf(f.value('out.x_inter'), i + 1), 1e-5))
  near('final', final, f.value('out.final'), 1e-5)
})

interface DiffusersConfig {
  readonly scheduler: 'DDIMScheduler' | 'DDPMScheduler'
  readonly num_inference_steps: number
  readonly step_kwargs: { readonly eta?: number }
  readonly config: {
    readonly beta_start: number
    readonly beta_end: number
    readonly num_train_timesteps: number
    readonly clip_sample: boolean
    readonly clip_sample_range: number
    readonly set_alpha_to_one?: boolean
    readonly steps_offset: number
    readonly variance_type?: 'fixed_small' | 'fixed_large'
  }
}

test.each(fixtures<DiffusersConfig>('sampler', /^hf_dd/))('$name', async (f) => {
  const { config: c, num_inference_steps: steps, scheduler, step_kwargs } = f.config
  const total = c.num_train_timesteps
  const clip = c.clip_sample ? { clip: c.clip_sample_range } : {}
  const samplers: Readonly<Record<DiffusersConfig['scheduler'], Sampler>> = {
    DDIMScheduler: ddim({
      ...clip,
      eta: step_kwargs.eta ?? 0,
      end: (c.set_alpha_to_one ?? true) ? 'data' : 'first timestep',
    }),
    DDPMScheduler: ddpm({ ...clip, vPosterior: c.variance_type === 'fixed_large' ? 1 : 0 }),
  }
  const visited = right(timesteps({ kind: 'leading', steps, offset: c.steps_offset }, total))
  const planned: Planned = {
    schedule: right(
      noiseSchedule({ kind: 'scaled-linear', timesteps: total, betaStart: c.beta_start, betaEnd: c.beta_end }),
    ),
    sampler: samplers[scheduler],
    transitions: descendBy(Math.floor(total / steps))(visited),
    predicts: 'eps',
  }
  const final = await replay(f, planned, (i, x, predX0) => {
    near(`x ${i}`, x, rowOf(f.value('out.x'), i), 5e-5)
    near(`predX0 ${i}`, predX0, rowOf(f.value('out.pred_original_sample'), i), 5e-5)
  })
  near('final', final, f.value('out.final'), 5e-5)
})

describe('a plan', () => {
  const schedule = right(noiseSchedule({ kind: 'linear', timesteps: 10 }))
  const errors = (c: ReturnType<Sampler['plan']>): readonly string[] =>
    E.isLeft(c) ? c.left.map((e) => `${e.at}: ${e.got}`) : []
  test('is refused with all its faults', () => {
    expect(
      errors(
        ddim({ eta: 2, temperature: -1 }).plan(schedule, [
          { from: 10, to: 3 },
          { from: 3, to: 4 },
        ]),
      ),
    ).toEqual(['/eta: 2', '/temperature: -1', '/0: 10 to 3', '/1: 3 to 4'])
    expect(errors(ddpm({ vPosterior: 2 }).plan(schedule, [{ from: 1, to: -2 }]))).toEqual([
      '/vPosterior: 2',
      '/0: 1 to -2',
    ])
  })
  test("follows the schedule's posterior variance, its mixture included", () => {
    const mixed = right(noiseSchedule({ kind: 'linear', timesteps: 10, vPosterior: 0.3 }))
    const plan = right(ddpm().plan(mixed, descend(all(10))))
    plan.slice(0, -1).forEach((step) => {
      expect(step.coefficients.spread).toBeCloseTo(Math.sqrt(mixed.posteriorVariance[step.t] ?? Number.NaN), 12)
    })
    expect(plan.at(-1)?.coefficients.spread).toBe(0)
  })
})

describe('a run', () => {
  const schedule = right(noiseSchedule({ kind: 'linear', timesteps: 10 }))
  const model = denoiser('eps', waves())
  test('needs no noise where eta is 0', () => {
    expect(noises(right(stepGraph(ddim(), model, { shape: [2, 1, 2, 2] })))).toEqual([])
  })
  test('may stay at a timestep, as many steps of quad spacing do, but not climb', () => {
    const [first] = right(ddim({ eta: 1 }).plan(schedule, [{ from: 1, to: 1 }]))
    expect(first?.coefficients.spread).toBe(0)
    expect(first?.coefficients.alphaPrev).toBe(first?.coefficients.alpha)
    expect(E.isLeft(ddim().plan(schedule, [{ from: 1, to: 2 }]))).toBe(true)
  })
  test('ends where its listener says so', async () => {
    const sampler = ddpm()
    const graph = right(stepGraph(sampler, model, { shape: [2, 1, 2, 2] }))
    const executable = await done(reference.compile(graph, { mode: 'sampling' }))
    const result = await sample({
      graph,
      executable,
      plan: right(sampler.plan(schedule, descend([1, 4, 8]))),
      xT: initialNoise(3, [0, 1], [1, 2, 2]),
      noiseOf: keyedNoise(3, [0, 1]),
      onStep: ({ done: count }) =>
        count < 2 ? TE.right(undefined) : TE.left([{ tag: 'run', at: 'listener', expected: 'no more', got: 'enough' }]),
    })()
    expect(E.isLeft(result) && result.left.map((e) => e.at)).toEqual(['listener'])
  })
})
