import fc from 'fast-check'
import { floats, type Value } from '../execute/executor.ts'
import { pipe, TE } from '../prelude.ts'
import { chain, ddim, ddimInversion, noised, planSampling, slerp, type Transition } from '../samplers/index.ts'
import { levelsOf } from '../schedulers/levels.ts'
import type { Column } from '../schedulers/noise-schedule.ts'
import type { PathKind } from '../schedulers/path.ts'
import { type Law, law } from './law.ts'
import { gap, real, reals } from './numbers.ts'
import { formulaPath, mixtureDenoiser, numbersOf, oracle, silent, walkFrom, walks } from './walks.ts'

/** What walks begin with. */

const upwards = (transitions: readonly Transition[]): readonly Transition[] =>
  transitions.map(({ here, next }) => ({ here: next, next: here })).toReversed()
const arrays = (data: Column): Value => floats([1, data.length], Float64Array.from(data))
const lengthOf = (x: Value): number => Math.hypot(...Array.from(x.data))

const inversion = law({
  name: 'what DDIM inverts, DDIM draws again',
  equation: 'DDIM(DDIM^-1(x_0)) = x_0 along the same levels',
  source: 'Song et al. 2021 (DDIM), section 4.3; Pan et al. 2023',
  tolerance: { float64: 1e-6, float32: 2e-3 },
  runs: 5,
  arbitrary: fc.record({
    kind: fc.constantFrom<PathKind[]>('exploding', 'preserving', 'flow'),
    mean: real(0.6, 1.2),
    deviation: real(0.4, 0.7),
    x0: reals(3, -2, 2),
  }),
  deviation: ({ kind, mean, deviation, x0 }, { executor }) => {
    const path = formulaPath(kind, { least: 0.1, most: 8 })
    const denoise = mixtureDenoiser(kind, { mean, deviation })
    return pipe(
      TE.fromEither(levelsOf(path, { kind: 'karras', steps: 12 })),
      TE.map((levels) => chain(levels)),
      TE.bindTo('down'),
      TE.bind('up', ({ down }) => TE.fromEither(planSampling(ddimInversion({ iterations: 24 }), path, upwards(down)))),
      TE.bind('drawn', ({ down }) => TE.fromEither(planSampling(ddim(), path, down))),
      TE.bind('noise', ({ up }) => walkFrom(executor, { plan: up, denoise, noiseOf: silent }, x0)),
      TE.flatMap(({ drawn, noise }) => walkFrom(executor, { plan: drawn, denoise, noiseOf: silent }, numbersOf(noise))),
      TE.map((back) => gap(numbersOf(back), x0)),
    )
  },
})

const strengths = law({
  name: 'drawing on from a picture keeps the marginals',
  equation: 'knowing x_0, alpha_t x_0 + sigma_t eps walked down by DDIM is alpha_s x_0 + sigma_s eps',
  source: 'Meng et al. 2022 (SDEdit), section 3',
  tolerance: { float64: 1e-8, float32: 1e-3 },
  runs: 20,
  arbitrary: fc.record({ walk: walks, share: real(0, 1), x0: reals(3, -2, 2), eps: reals(3, -3, 3) }),
  deviation: ({ walk: { path, transitions }, share, x0, eps }, { executor }) => {
    const cut = Math.min(transitions.length - 2, Math.floor(share * transitions.length))
    const part = transitions.slice(Math.max(cut, 0), -1)
    const [first, last] = [part[0]?.here, part.at(-1)?.next]
    if (first === undefined || last === undefined) return TE.right(0)
    const column = (data: Column): Value => floats([3, 1], Float64Array.from(data))
    return pipe(
      TE.fromEither(planSampling(ddim(), path, part)),
      TE.flatMap((plan) =>
        walkFrom(
          executor,
          { plan, denoise: oracle(x0), noiseOf: silent },
          Array.from(noised(first, column(x0), column(eps)).data),
        ),
      ),
      TE.map((state) => gap(numbersOf(state), Array.from(noised(last, column(x0), column(eps)).data))),
    )
  },
})

const spheres = law({
  name: 'spherical interpolation keeps to the sphere',
  equation: '|slerp(a, b, u)| = r for |a| = |b| = r; a at u = 0, b at u = 1',
  source: 'Shoemake 1985',
  tolerance: { float64: 1e-9, float32: 1e-9 },
  runs: 60,
  arbitrary: fc.record({ a: reals(6, -3, 3), b: reals(6, -3, 3), u: real(0, 1) }),
  deviation: ({ a, b, u }) => {
    const unit = (data: Column): Column => {
      const length = Math.hypot(...data)
      return length < 1e-3 ? [1, 0, 0, 0, 0, 0] : data.map((x) => x / length)
    }
    const [from, to] = [arrays(unit(a)), arrays(unit(b))]
    const near = Math.abs(unit(a).reduce((dot, x, i) => dot + x * (unit(b)[i] ?? 0), 0)) >= 0.9995
    return TE.right(
      Math.max(
        gap(Array.from(slerp(from, to, [0]).data), Array.from(from.data)),
        gap(Array.from(slerp(from, to, [1]).data), Array.from(to.data)),
        near ? 0 : Math.abs(lengthOf(slerp(from, to, [u])) - 1),
      ),
    )
  },
})

/** Laws of where sampling begins: inversion, strengths, ways between two noises. */
export const beginningLaws: readonly Law[] = [inversion, strengths, spheres]
