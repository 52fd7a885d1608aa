import fc from 'fast-check'
import { add, div, mul, scalar, square, sub, type Tensor } from '../declare/index.ts'
import { type Denoiser, denoiser } from '../diffusion/denoiser.ts'
import { mixtureAt, qSample } from '../diffusion/forward.ts'
import { type Ingredients, type Parameterization, parameterizations, target } from '../diffusion/parameterization.ts'
import type { Checked, Effect } from '../error.ts'
import { type Executor, floats } from '../execute/executor.ts'
import { pipe, RR, TE } from '../prelude.ts'
import { ddim } from '../samplers/ddim.ts'
import { ddpm } from '../samplers/ddpm.ts'
import { keyedNoise, sample } from '../samplers/run.ts'
import type { PlannedStep, Sampler } from '../samplers/sampler.ts'
import { stepGraph } from '../samplers/step-graph.ts'
import { alphaBar, descend, type Transition } from '../samplers/transitions.ts'
import { type Column, type NoiseSchedule, scheduleOfBetas } from '../schedulers/noise-schedule.ts'
import { noiseSchedules } from './diffusion.ts'
import { type Law, law } from './law.ts'
import { everywhere, gap, real, reals, rows } from './numbers.ts'

/** Data of one Gaussian, N(mean, deviation^2): its score, and with it the best denoiser, is known in closed form. */
export interface GaussianData {
  readonly mean: number
  readonly deviation: number
}

/** E[eps | x_t] = sigma (x_t - alpha m) / (alpha^2 s^2 + sigma^2) */
export const bestDenoiser = (s: NoiseSchedule, { mean, deviation }: GaussianData): Denoiser<'eps'> =>
  denoiser('eps', (xt, t) => {
    const { alpha, sigma } = mixtureAt(s, t, xt)
    const variance = pipe(square(alpha), mul(deviation ** 2), add(square(sigma)))
    return pipe(xt, sub(pipe(alpha, mul(mean))), mul(sigma), div(variance))
  })

/** Where the probability-flow equation takes x_T, at alpha-bar `end`. */
const flow = ({ mean, deviation }: GaussianData, start: number, end: number, xT: number): number => {
  const spread = (bar: number): number => Math.sqrt(bar * deviation ** 2 + 1 - bar)
  return Math.sqrt(end) * mean + (spread(end) / spread(start)) * (xT - Math.sqrt(start) * mean)
}

/** Runs a plan from the numbers of one-dimensional samples. */
const runFrom = (
  executor: Executor,
  sampler: Sampler,
  denoise: Denoiser,
  plan: readonly PlannedStep[],
  xT: Column,
): Effect<readonly number[]> => {
  const noiseOf = keyedNoise(
    11,
    xT.map((_, i) => i),
  )
  return pipe(
    TE.fromEither(stepGraph(sampler, denoise, { shape: [xT.length, 1] })),
    TE.flatMap((graph) =>
      pipe(
        executor.compile(graph, { mode: 'sampling' }),
        TE.flatMap((executable) =>
          TE.bracket(
            TE.right(executable),
            () => sample({ graph, executable, plan, xT: floats([xT.length, 1], Float64Array.from(xT)), noiseOf }),
            (x) => TE.fromIO(x.dispose),
          ),
        ),
      ),
    ),
    TE.map((x) => Array.from(x.data)),
  )
}

/** One step as an expression, its coefficients as constants. */
const stepOnce = (
  sampler: Sampler,
  plan: Checked<readonly PlannedStep[]>,
  denoise: Denoiser,
  { xt, noise }: { readonly xt: Tensor; readonly noise: Tensor },
): Effect<Tensor> =>
  pipe(
    TE.fromEither(plan),
    TE.map(([step]) => {
      const coefficients = pipe(step?.coefficients ?? {}, RR.map(scalar))
      return sampler.step(denoise, { xt, t: everywhere(step?.t ?? 0, xt.shape[0] ?? 1), coefficients, noise }).x
    }),
  )

const transitions = (schedules: fc.Arbitrary<NoiseSchedule>) =>
  schedules.chain((s) =>
    fc
      .record({ a: fc.integer({ min: -1, max: s.timesteps - 1 }), b: fc.integer({ min: 0, max: s.timesteps - 1 }) })
      .filter(({ a, b }) => a < b)
      .map(({ a, b }): { readonly s: NoiseSchedule; readonly step: Transition } => ({ s, step: { from: b, to: a } })),
  )

const kinds = fc.constantFrom<Parameterization[]>(...parameterizations)
/** A denoiser that knows what was mixed. */
const oracle = (s: NoiseSchedule, predicts: Parameterization, made: Ingredients): Denoiser =>
  denoiser(predicts, (xt, t) => target(predicts, mixtureAt(s, t, xt), made))

const column = (...data: Column): Tensor => rows(...data.map((x) => [x]))

const marginals = (sampler: Sampler): Law =>
  law({
    name: `${sampler.name} keeps the marginals`,
    equation: 'knowing x_0, a step from q(x_t | x_0) gives q(x_s | x_0) = N(sqrt(abar_s) x_0, 1 - abar_s)',
    source: 'Song et al. 2021 (DDIM), lemma 1',
    tolerance: { float64: 1e-10, float32: 1e-3 },
    arbitrary: fc.record({ at: transitions(noiseSchedules), predicts: kinds }),
    deviation: ({ at: { s, step }, predicts }, { ask }) => {
      const made = { x0: column(1, 0, 0), eps: column(0, 1, 0) }
      const xt = qSample(s, { ...made, t: everywhere(step.from, 3) })
      const bar = alphaBar(s, step.to)
      return pipe(
        stepOnce(sampler, sampler.plan(s, [step]), oracle(s, predicts, made), { xt, noise: column(0, 0, 1) }),
        TE.flatMap((x) => ask({ x })),
        TE.map(({ x: [signal = Number.NaN, kept = Number.NaN, drawn = Number.NaN] }) =>
          Math.max(gap([signal], [Math.sqrt(bar)]), gap([kept ** 2 + drawn ** 2], [1 - bar])),
        ),
      )
    },
  })

const pointMass = (sampler: Sampler): Law =>
  law({
    name: `${sampler.name} finds a known point`,
    equation: 'on data of a single point m, with the best denoiser, x ends at m',
    source: 'the posterior of x_0 is m at every t',
    tolerance: { float64: 1e-10, float32: 1e-3 },
    runs: 20,
    arbitrary: fc.record({ s: noiseSchedules, mean: real(-2, 2), xT: reals(3, -3, 3) }),
    deviation: ({ s, mean, xT }, { executor }) =>
      pipe(
        TE.fromEither(sampler.plan(s, descend(s.betas.map((_, t) => t)))),
        TE.flatMap((plan) => runFrom(executor, sampler, bestDenoiser(s, { mean, deviation: 0 }), plan, xT)),
        TE.map((x) =>
          gap(
            x,
            xT.map(() => mean),
          ),
        ),
      ),
  })

const halves = (sampler: Sampler): Law =>
  law({
    name: `${sampler.name} in two halves is one run`,
    equation: 'run(plan) = run(rest) . run(first)',
    source: 'a step depends on x and its own number alone',
    tolerance: { float64: 0, float32: 0 },
    runs: 20,
    arbitrary: fc.record({
      s: noiseSchedules,
      mean: real(-2, 2),
      deviation: real(0.2, 2),
      xT: reals(2, -3, 3),
      share: real(0, 1),
    }),
    deviation: ({ s, mean, deviation, xT, share }, { executor }) => {
      const best = bestDenoiser(s, { mean, deviation })
      return pipe(
        TE.fromEither(sampler.plan(s, descend(s.betas.map((_, t) => t)))),
        TE.flatMap((plan) => {
          const cut = Math.floor(share * plan.length)
          const part = (steps: readonly PlannedStep[]) => (x: Column) => runFrom(executor, sampler, best, steps, x)
          return pipe(
            TE.Do,
            TE.bind('whole', () => part(plan)(xT)),
            TE.bind('parts', () => pipe(part(plan.slice(0, cut))(xT), TE.flatMap(part(plan.slice(cut))))),
          )
        }),
        TE.map(({ whole, parts }) => gap(parts, whole)),
      )
    },
  })

/** What every sampler that ends at the data obeys. */
export const samplerLaws = (sampler: Sampler): readonly Law[] => [
  marginals(sampler),
  pointMass(sampler),
  halves(sampler),
]

/** A chain fine enough for orders to show. */
const fine = scheduleOfBetas(Array.from({ length: 1200 }, (_, i) => (0.1 + (19.9 * i) / 1200) / 1200))
const coarse = 30

/**
 * A deterministic sampler's error against the probability-flow equation falls as steps^-order, on Gaussian data.
 */
export const convergenceLaw = (sampler: Sampler, order: number): Law =>
  law({
    name: `${sampler.name} converges with order ${order}`,
    equation: "halving the steps' length divides the error by 2^order; deviation is what is missing in the order",
    source: 'Song et al. 2021 (DDIM), section 4.3; Lu et al. 2022, theorem 3.2',
    tolerance: { float64: 0.15, float32: 0.25 },
    runs: 8,
    arbitrary: fc.record({ mean: real(-1, 1), deviation: real(0.3, 0.8), side: fc.constantFrom(-1, 1) }),
    deviation: ({ mean, deviation, side }, { executor }) => {
      const data = { mean, deviation }
      const first = 99
      const xT = mean + 2 * side
      const exact = flow(data, alphaBar(fine, fine.timesteps - 1), alphaBar(fine, first), xT)
      const errorWith = (steps: number): Effect<number> => {
        const stride = (fine.timesteps - 1 - first) / steps
        const visited = Array.from({ length: steps + 1 }, (_, i) => Math.round(first + i * stride))
        return pipe(
          TE.fromEither(sampler.plan(fine, descend(visited).slice(0, -1))),
          TE.flatMap((plan) => runFrom(executor, sampler, bestDenoiser(fine, data), plan, [xT])),
          TE.map(([x = Number.NaN]) => Math.abs(x - exact)),
        )
      }
      return pipe(
        TE.Do,
        TE.bind('long', () => errorWith(coarse)),
        TE.bind('short', () => errorWith(2 * coarse)),
        TE.map(({ long, short }) => Math.max(0, order - Math.log2(long / short))),
      )
    },
  })

const ddimIsDdpm: Law = law({
  name: 'DDIM with eta 1 is DDPM',
  equation: 'eta = 1: sigma_t^2 = beta~_t, and the step is a sample of the posterior',
  source: 'Song et al. 2021 (DDIM), section 4.1',
  tolerance: { float64: 1e-10, float32: 1e-3 },
  arbitrary: fc.record({
    at: transitions(noiseSchedules),
    predicts: kinds,
    xt: reals(3, -2, 2),
    said: reals(3, -2, 2),
    noise: reals(3, -2, 2),
  }),
  deviation: ({ at: { s, step }, predicts, xt, said, noise }, { ask }) => {
    const says = denoiser(predicts, () => rows(said))
    const of = (sampler: Sampler): Effect<Tensor> =>
      stepOnce(sampler, sampler.plan(s, [step]), says, { xt: rows(xt), noise: rows(noise) })
    return pipe(
      TE.Do,
      TE.bind('ddim', () => of(ddim({ eta: 1, end: 'data' }))),
      TE.bind('ddpm', () => of(ddpm())),
      TE.flatMap(ask),
      TE.map((r) => gap(r.ddim, r.ddpm)),
    )
  },
})

/** This library's samplers. */
export const librarySamplerLaws: readonly Law[] = [
  ...samplerLaws(ddim({ end: 'data' })),
  ...samplerLaws({ ...ddim({ eta: 0.6, end: 'data' }), name: 'ddim with eta 0.6' }),
  ...samplerLaws(ddpm()),
  convergenceLaw(ddim(), 1),
  ddimIsDdpm,
]
