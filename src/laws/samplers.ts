import fc from 'fast-check'
import { clamp } from '../declare/index.ts'
import { type Denoiser, denoiser } from '../diffusion/denoiser.ts'
import { type Effect, effect } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import { pipe, TE } from '../prelude.ts'
import {
  chain,
  ddim,
  ddpm,
  deis,
  dpm2,
  dpm2Ancestral,
  dpmFast,
  dpmMultistep,
  dpmpp2m,
  dpmpp2mSde,
  dpmpp2sAncestral,
  dpmpp3mSde,
  dpmppSde,
  dpmSinglestep,
  euler,
  eulerAncestral,
  heun,
  lcm,
  lms,
  type NoiseRequest,
  planSampling,
  plms,
  renoise,
  repaint,
  type Sampler,
  type Transition,
  unipc,
} from '../samplers/index.ts'
import { levelsOf, type Spacing } from '../schedulers/levels.ts'
import type { Column } from '../schedulers/noise-schedule.ts'
import { type Level, type Path, type PathKind, ratioOf } from '../schedulers/path.ts'
import { beginningLaws } from './beginnings.ts'
import { type Law, law } from './law.ts'
import { compared, gap, real, reals } from './numbers.ts'
import {
  flowOf,
  formulaPath,
  mixtureDenoiser,
  numbersOf,
  oracle,
  silent,
  type Walked,
  walkFrom,
  walks,
  walksFromNoise,
} from './walks.ts'

/** Noise that is the same wherever it is asked for. */
const chance = ({ name, step, shape }: NoiseRequest): Column =>
  Array.from({ length: shape[0] ?? 1 }, (_, i) => Math.sin(1 + step * 12.9898 + i * 78.233 + name.length) * 2)

/** Some network: what it says depends on x alone. */
const some: Denoiser = denoiser('x0', (x) => pipe(x, clamp(-1, 1)))

/** Every call but those of its first draw of a step may take noise: the n-th request of all is item n's alone. */
const oneEach = (before: number) => {
  const numbers = new Map<string, number>()
  return ({ name, step, shape }: NoiseRequest): Column => {
    const key = `${name}:${step}`
    const own = numbers.get(key) ?? numbers.size
    numbers.set(key, own)
    return Array.from({ length: shape[0] ?? 1 }, (_, i) => (i === before + own ? 1 : 0))
  }
}

/** From some signal to some noise: where there is none of either, nothing is left to compare. */
const between = ({ walk: { transitions }, kept }: { readonly walk: Walked; readonly kept: number }) => {
  const both = transitions.filter(({ here }) => here.alpha > 0)
  return both.slice(0, Math.max(1, Math.ceil(kept * (both.length - 1))))
}
/** The shares of x_0 and of noise after so many steps: those that came, and those of the process. */
const sharesAfter = (executor: Executor, sampler: Sampler, path: Path, steps: readonly Transition[]) => {
  const [first, last] = [steps[0]?.here, steps.at(-1)?.next]
  return pipe(
    TE.fromEither(planSampling(sampler, path, steps)),
    TE.flatMap((plan) => {
      // The share of x_0, of the first eps, and of each noise that can be drawn.
      const items = 2 + 2 * plan.steps.length
      const from = Array.from({ length: items }, (_, i) =>
        i === 0 ? (first?.alpha ?? 0) : i === 1 ? (first?.sigma ?? 0) : 0,
      )
      const x0 = Array.from({ length: items }, (_, i) => (i === 0 ? 1 : 0))
      return walkFrom(executor, { plan, denoise: oracle(x0), noiseOf: oneEach(2) }, from)
    }),
    TE.map(numbersOf),
    TE.map(([signal = Number.NaN, ...noises]) => {
      const [came, expected] = [
        [signal, Math.hypot(...noises)],
        [last?.alpha ?? Number.NaN, last?.sigma ?? Number.NaN],
      ]
      return {
        came,
        expected,
        by: Math.max(gap(came.slice(0, 1), expected.slice(0, 1)), gap(came.slice(1), expected.slice(1))),
      }
    }),
  )
}
const short = (x: number): string => String(Number(x.toPrecision(5)))
const levelText = ({ alpha, sigma }: Level): string => `alpha ${short(alpha)}, sigma ${short(sigma)}`

/** The first step behind which shares are not those of the process, and what is expected there. */
const firstWrong = (executor: Executor, sampler: Sampler, path: Path, steps: readonly Transition[], limit: number) =>
  effect(async (run): Promise<readonly string[]> => {
    for (const [k, { here, next }] of steps.entries()) {
      const { came, expected, by } = await run(sharesAfter(executor, sampler, path, steps.slice(0, k + 1)))
      if (by <= limit) continue
      return [
        `${sampler.name}, step ${k + 1} of ${steps.length}, the first that is wrong`,
        `from ${levelText(here)} (t = ${short(here.t)})`,
        `to   ${levelText(next)} (t = ${short(next.t)})`,
        compared('share of x_0', expected[0], came[0]),
        compared('share of noise', expected[1], came[1]),
      ]
    }
    return []
  })

const marginals = (sampler: Sampler, along: fc.Arbitrary<Walked>): Law =>
  law({
    name: `${sampler.name} keeps the marginals`,
    equation: 'knowing x_0, a walk from q(x_t | x_0) gives q(x_s | x_0) = N(alpha_s x_0, sigma_s^2)',
    source: 'Song et al. 2021 (DDIM), lemma 1',
    tolerance: { float64: 1e-8, float32: 1e-3 },
    runs: 25,
    arbitrary: fc.record({ walk: along, kept: real(0.2, 1) }),
    deviation: (a, { executor }) =>
      pipe(
        sharesAfter(executor, sampler, a.walk.path, between(a)),
        TE.map(({ by }) => by),
      ),
    tells: (a, { executor }) => firstWrong(executor, sampler, a.walk.path, between(a), 1e-4),
  })

const endOf = (
  executor: Executor,
  sampler: Sampler,
  { walk: { path, transitions }, mean, xT }: { readonly walk: Walked; readonly mean: number; readonly xT: Column },
): Effect<Column> =>
  pipe(
    TE.fromEither(planSampling(sampler, path, transitions)),
    TE.flatMap((plan) => walkFrom(executor, { plan, denoise: oracle(xT.map(() => mean)), noiseOf: chance }, xT)),
    TE.map(numbersOf),
  )
const pointMass = (sampler: Sampler, along: fc.Arbitrary<Walked>): Law =>
  law({
    name: `${sampler.name} finds a known point`,
    equation: 'on data of a single point m, with the best denoiser, x ends at m',
    source: 'the posterior of x_0 is m at every t',
    // From nearly pure noise rounding is multiplied by as much as 2^12.
    tolerance: { float64: 1e-6, float32: 1e-2 },
    runs: 20,
    arbitrary: fc.record({ walk: along, mean: real(-2, 2), xT: reals(3, -3, 3) }),
    deviation: (a, { executor }) =>
      pipe(
        endOf(executor, sampler, a),
        TE.map((end) =>
          gap(
            end,
            a.xT.map(() => a.mean),
          ),
        ),
      ),
    tells: (a, { executor }) =>
      pipe(
        endOf(executor, sampler, a),
        TE.map((end) => [
          `${sampler.name} in ${a.walk.transitions.length} steps, from x_T = ${a.xT.map(short).join(', ')}`,
          ...end.map((x, i) => compared(`end of item ${i + 1}`, a.mean, x)),
        ]),
      ),
  })

/** A walk depends on nothing but its state. */
export const halves = (sampler: Sampler, along: fc.Arbitrary<Walked> = walks): Law =>
  law({
    name: `${sampler.name} in two halves is one run`,
    equation: 'run(plan) = run(rest) . run(first), wherever it is cut',
    source: 'a step depends on x, the memory and its own number alone',
    tolerance: { float64: 0, float32: 0 },
    runs: 15,
    arbitrary: fc.record({ walk: along, xT: reals(2, -3, 3), share: real(0, 1) }),
    deviation: ({ walk: { path, transitions }, xT, share }, { executor }) =>
      pipe(
        TE.fromEither(planSampling(sampler, path, transitions)),
        TE.flatMap((plan) => {
          const cut = Math.floor(share * plan.steps.length)
          const whole = { plan, denoise: some, noiseOf: chance }
          return pipe(
            TE.Do,
            TE.bind('whole', () => walkFrom(executor, whole, xT)),
            TE.bind('parts', () =>
              pipe(
                walkFrom(executor, { ...whole, steps: plan.steps.slice(0, cut) }, xT),
                TE.flatMap((half) => walkFrom(executor, { ...whole, steps: plan.steps.slice(cut) }, half)),
              ),
            ),
          )
        }),
        TE.map(({ whole, parts }) => gap(numbersOf(parts), numbersOf(whole))),
      ),
  })

/** What a sampler obeys that ends at the data and whose steps are those of the process, along any path or some that are given. */
export const samplerLaws = (sampler: Sampler, along?: fc.Arbitrary<Walked>): readonly Law[] => [
  marginals(sampler, along ?? walks),
  pointMass(sampler, along ?? fc.oneof(walks, walksFromNoise)),
  halves(sampler, along),
]

const coarse = 48
const bounds = { least: 0.1, most: 8 }

/** The error of so many steps on a mixture of Gaussians, from one level to another. */
const errorWith = (
  executor: Executor,
  sampler: Sampler,
  {
    kind,
    spacing,
    mean,
    deviation,
  }: { readonly kind: PathKind; readonly spacing: Spacing; readonly mean: number; readonly deviation: number },
  steps: number,
): Effect<number> => {
  const path = formulaPath(kind, bounds)
  const starts = [2.5, -4, 0.6]
  return pipe(
    TE.fromEither(levelsOf(path, { kind: spacing, steps: steps + 1 })),
    TE.map((levels) => levels.slice(0, -1)),
    TE.bindTo('levels'),
    TE.bind('plan', ({ levels }) => TE.fromEither(planSampling(sampler, path, chain(levels)))),
    TE.bind('state', ({ plan, levels }) =>
      walkFrom(
        executor,
        { plan, denoise: mixtureDenoiser(kind, { mean, deviation }), noiseOf: silent },
        starts.map((x) => x * (levels[0]?.alpha ?? 1)),
      ),
    ),
    TE.map(({ levels, state }) => {
      const [first, last] = [levels[0], levels.at(-1)]
      if (first === undefined || last === undefined) return Number.NaN
      const made = numbersOf(state).map((x) => x / last.alpha)
      return Math.max(
        ...made.map((x, i) => Math.abs(x - flowOf({ mean, deviation }, ratioOf(first), ratioOf(last), starts[i] ?? 0))),
      )
    }),
  )
}

/**
 * A sampler's error against the probability flow falls as steps^-order, on a mixture of two Gaussians, whose score is known, on
 * every path and grid. Of samplers that draw no noise.
 */
export const convergenceLaw = (sampler: Sampler, order = sampler.order): Law =>
  law({
    name: `${sampler.name} converges with order ${order}`,
    equation: "halving the steps' length divides the error by 2^order; deviation is what is missing in the order",
    source: 'Song et al. 2021 (DDIM), section 4.3; Lu et al. 2022, theorem 3.2; Karras et al. 2022, appendix D.1',
    tolerance: { float64: 0.3, float32: 0.6 },
    runs: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom<PathKind[]>('exploding', 'preserving', 'flow'),
      spacing: fc.constantFrom<Spacing[]>('karras', 'exponential', 'log-snr'),
      mean: real(0.6, 1.2),
      deviation: real(0.4, 0.7),
    }),
    deviation: (data, { executor }) =>
      pipe(
        TE.Do,
        TE.bind('long', () => errorWith(executor, sampler, data, coarse)),
        TE.bind('short', () => errorWith(executor, sampler, data, 2 * coarse)),
        TE.map(({ long, short }) => Math.max(0, order - Math.log2(long / short))),
      ),
    tells: (data, { executor }) =>
      pipe(
        TE.Do,
        TE.bind('long', () => errorWith(executor, sampler, data, coarse)),
        TE.bind('short', () => errorWith(executor, sampler, data, 2 * coarse)),
        TE.map(({ long, short }) => [
          `${data.kind} path, ${data.spacing} spacing, data at +-${data.mean} with a deviation of ${data.deviation}`,
          `error of ${coarse} steps     ${long.toPrecision(4)}`,
          `error of ${2 * coarse} steps     expected about ${(long / 2 ** order).toPrecision(4)}, came ${short.toPrecision(4)}: order ${Math.log2(long / short).toFixed(2)}`,
        ]),
      ),
  })

/** Two samplers that are to give the same numbers on every walk. */
const same = (name: string, source: string, a: Sampler, b: Sampler, tolerance = 1e-9): Law =>
  law({
    name,
    equation: `${a.name} = ${b.name}, step by step`,
    source,
    tolerance: { float64: tolerance, float32: 1e-3 },
    runs: 20,
    arbitrary: fc.record({ walk: walks, xT: reals(3, -3, 3) }),
    deviation: ({ walk: { path, transitions }, xT }, { executor }) => {
      const run = (sampler: Sampler): Effect<readonly number[]> =>
        pipe(
          TE.fromEither(planSampling(sampler, path, transitions)),
          TE.flatMap((plan) => walkFrom(executor, { plan, denoise: some, noiseOf: chance }, xT)),
          TE.map(numbersOf),
        )
      return pipe(
        TE.Do,
        TE.bind('a', () => run(a)),
        TE.bind('b', () => run(b)),
        TE.map((r) => gap(r.a, r.b)),
      )
    },
  })

const identities: readonly Law[] = [
  same('DDIM with eta 1 is DDPM', 'Song et al. 2021 (DDIM), section 4.1', ddim({ eta: 1 }), ddpm()),
  same("DDIM without noise is Euler's method", 'Karras et al. 2022, appendix C', ddim(), euler()),
  same("Euler's ancestral sampling with eta 0 is Euler's method", 'k-diffusion', eulerAncestral({ eta: 0 }), euler()),
  same(
    "Euler's ancestral sampling is DDIM with eta 1",
    'both are the posterior at alpha 1',
    eulerAncestral(),
    ddim({ eta: 1 }),
  ),
  same('DPM-Solver++ of first order is DDIM', 'Lu et al. 2022b, section 4.1', dpmMultistep({ order: 1 }), ddim()),
  same('DPM-2 ancestral with eta 0 is DPM-2', 'k-diffusion', dpm2Ancestral({ eta: 0 }), dpm2()),
  same('RePaint that never goes back is DDPM', 'Lugmayr et al. 2022, algorithm 1', repaint({ resample: 1 }), ddpm()),
  same('DEIS of first order is DDIM', 'Zhang and Chen 2023, proposition 2', deis({ order: 1 }), ddim()),
]

const named = (name: string, sampler: Sampler): Sampler => ({ ...sampler, name })

/** Samplers that take exact steps where predictions do not change, with noise and without. */
const exact: readonly Sampler[] = [
  ddim(),
  named('ddim with eta 0.6', ddim({ eta: 0.6 })),
  ddpm(),
  plms(),
  euler(),
  named('euler with churn', euler({ churn: 2 })),
  eulerAncestral(),
  heun(),
  named('heun with churn', heun({ churn: 2 })),
  dpm2(),
  dpm2Ancestral(),
  lms(),
  dpmpp2m(),
  dpmpp2mSde(),
  named('dpm++-2m-sde with eta 0.5', dpmpp2mSde({ eta: 0.5, secondOrder: 'heun' })),
  dpmpp3mSde(),
  dpmpp2sAncestral(),
  dpmppSde(),
  dpmSinglestep({ order: 3 }),
  unipc(),
  deis({ order: 3 }),
  renoise(),
  named('repaint, back by 2, 3 times', repaint({ jump: 2, resample: 3 })),
  named('repaint with eta 0.5', repaint({ jump: 3, resample: 2, eta: 0.5 })),
]

/** Samplers without noise, each with the order that it declares. */
const converging: readonly Sampler[] = [
  ddim(),
  plms(),
  euler(),
  heun(),
  dpm2(),
  lms(),
  dpmpp2m(),
  named('dpm-multistep of order 3', dpmMultistep({ order: 3 })),
  named('dpm-multistep of eps', dpmMultistep({ integrand: 'eps' })),
  named('dpm-singlestep of order 3', dpmSinglestep({ order: 3 })),
  dpmSinglestep(),
  dpmFast(),
  unipc(),
  named('unipc of order 3, bh1', unipc({ order: 3, variant: 'bh1' })),
  deis(),
  named('euler-ancestral with eta 0', eulerAncestral({ eta: 0 })),
  named('dpm-2-ancestral with eta 0', dpm2Ancestral({ eta: 0 })),
  named('dpm++-2s-ancestral with eta 0', dpmpp2sAncestral({ eta: 0 })),
  named('dpm++-sde with eta 0', dpmppSde({ eta: 0 })),
]

/** This library's samplers. */
export const librarySamplerLaws: readonly Law[] = [
  ...exact.flatMap((sampler) => samplerLaws(sampler)),
  halves(lcm()),
  ...converging.map((sampler) => convergenceLaw(sampler)),
  ...identities,
  ...beginningLaws,
]
