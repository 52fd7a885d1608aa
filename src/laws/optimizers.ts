import fc from 'fast-check'
import { scalar, type Tensor, vector } from '../declare/index.ts'
import { type AdamOptions, adam, adamW, torchMoments } from '../optimizers/adam.ts'
import { clipByGlobalNorm } from '../optimizers/clip.ts'
import { ema } from '../optimizers/ema.ts'
import type { Optimizer, State, Tensors } from '../optimizers/optimizer.ts'
import { sgd } from '../optimizers/sgd.ts'
import { pipe, RR } from '../prelude.ts'
import { type Law, lawOf } from './law.ts'
import { gap, real, reals } from './numbers.ts'

type Numbers = readonly number[]
const size = 3
const numbers = reals(size, -2, 2)

/** Where a parameter is, and the gradients and the rate that it then meets, step by step. */
interface Descent {
  readonly start: Numbers
  readonly gradients: readonly Numbers[]
  readonly rate: number
}
const descents: fc.Arbitrary<Descent> = fc.record({
  start: numbers,
  gradients: fc.array(numbers, { minLength: 1, maxLength: 4 }),
  rate: real(0.01, 1),
})

const only = (x: Tensor): Tensors<'p'> => ({ p: x })
const fedScalars = <H extends string>(at: Readonly<Record<H, number>>): Tensors<H> => pipe(at, RR.map(scalar))
const emptyState = <S extends string>(names: readonly S[]): State<S, 'p'> =>
  RR.fromEntries(names.map((name): [S, Tensors<'p'>] => [name, only(vector(Array.from({ length: size }, () => 0)))]))

/** The parameter after every step of an optimiser, and what the optimiser then remembers. */
const descend = <S extends string, H extends string>(
  optimizer: Optimizer<S, H>,
  slots: readonly S[],
  { start, gradients, rate }: Descent,
): { readonly p: Tensor; readonly state: State<S, 'p'> } =>
  gradients.reduce<{ readonly p: Tensor; readonly state: State<S, 'p'> }>(
    ({ p, state }, g, i) => {
      const moved = optimizer.update({
        parameters: only(p),
        gradients: only(vector(g)),
        state,
        scalars: fedScalars(optimizer.at({ step: i + 1, rate })),
      })
      return { p: moved.parameters.p, state: moved.state }
    },
    { p: vector(start), state: emptyState(slots) },
  )

interface Moments {
  readonly p: Numbers
  readonly m: Numbers
  readonly v: Numbers
}
const zip = (f: (...xs: readonly number[]) => number, ...of: readonly Numbers[]): Numbers =>
  Array.from({ length: size }, (_, i) => f(...of.map((xs) => xs[i] ?? Number.NaN)))

type AdamSettings = Required<AdamOptions>
/** Algorithm 1 of Kingma and Ba as it is printed, `decay` before each step. */
const printedAdam = (
  { betas: [b1, b2], eps }: AdamSettings,
  { start, gradients, rate }: Descent,
  decay: (p: number, g: number) => { readonly p: number; readonly g: number },
): Moments =>
  gradients.reduce<Moments>(
    ({ p, m, v }, given, i) => {
      const decayed = zip((x = 0, g = 0) => decay(x, g).p, p, given)
      const g = zip((x = 0, y = 0) => decay(x, y).g, p, given)
      const [first, second] = [
        zip((old = 0, x = 0) => b1 * old + (1 - b1) * x, m, g),
        zip((old = 0, x = 0) => b2 * old + (1 - b2) * x * x, v, g),
      ]
      const move = (x: number, a: number, b: number): number =>
        x - (rate * (a / (1 - b1 ** (i + 1)))) / (Math.sqrt(b / (1 - b2 ** (i + 1))) + eps)
      return { p: zip((x = 0, a = 0, b = 0) => move(x, a, b), decayed, first, second), m: first, v: second }
    },
    { p: start, m: start.map(() => 0), v: start.map(() => 0) },
  )

const adamSettings: fc.Arbitrary<AdamSettings> = fc.record({
  betas: fc.tuple(real(0, 0.99), real(0.1, 0.999)),
  eps: fc.constantFrom(1e-8, 1e-2, 1),
  weightDecay: fc.constantFrom(0, 0.1),
})
const slots = ['m', 'v'] as const
const adamLaw = <H extends string>(
  about: Pick<Law, 'name' | 'equation' | 'source' | 'about'>,
  make: (options: AdamSettings) => Optimizer<'m' | 'v', H>,
  decay: (options: AdamSettings, rate: number) => (p: number, g: number) => { readonly p: number; readonly g: number },
): Law =>
  lawOf({
    ...about,
    tolerance: { float64: 1e-9, float32: 1e-2 },
    arbitrary: fc.record({ descent: descents, settings: adamSettings }),
    outputs: ({ descent, settings }) => {
      const { p, state } = descend(make(settings), slots, descent)
      return { p, m: state.m.p, v: state.v.p }
    },
    deviation: ({ p, m, v }, { descent, settings }) => {
      const printed = printedAdam(settings, descent, decay(settings, descent.rate))
      const factors = torchMoments(settings.betas)
      return Math.max(
        gap(p, printed.p),
        gap(
          m.map((x) => x * factors.m),
          printed.m,
        ),
        gap(
          v.map((x) => x * factors.v),
          printed.v,
        ),
      )
    },
  })

const descending: readonly Law[] = [
  adamLaw(
    {
      about: 'adam',
      name: 'Adam is its algorithm as printed, however its moments are held',
      equation: "p' = p - a m^ / (sqrt(v^) + eps), m^ = m / (1 - b1^t), v^ = v / (1 - b2^t), of g + w p",
      source: 'Kingma and Ba 2015, algorithm 1; PyTorch, torch.optim.Adam',
    },
    adam,
    ({ weightDecay }) =>
      (p, g) => ({ p, g: g + weightDecay * p }),
  ),
  adamLaw(
    {
      about: 'adamw',
      name: 'AdamW decays before the step, and apart from the gradient',
      equation: "p' = (1 - a w) p - a m^ / (sqrt(v^) + eps)",
      source: 'Loshchilov and Hutter 2019, algorithm 2; PyTorch, torch.optim.AdamW',
    },
    adamW,
    ({ weightDecay }, rate) =>
      (p, g) => ({ p: p * (1 - rate * weightDecay), g }),
  ),
  lawOf({
    about: 'sgd',
    name: 'SGD remembers gradients at full weight',
    equation: "b' = mu b + g + w p, p' = p - a b'",
    source: 'PyTorch, torch.optim.SGD, without dampening',
    tolerance: { float64: 1e-12, float32: 1e-4 },
    arbitrary: fc.record({ descent: descents, momentum: real(0, 1), weightDecay: fc.constantFrom(0, 0.1) }),
    outputs: ({ descent, momentum, weightDecay }) => {
      const { p, state } = descend(sgd({ momentum, weightDecay }), ['momentum'], descent)
      return { p, buffer: state.momentum.p }
    },
    deviation: ({ p, buffer }, { descent: { start, gradients, rate }, momentum, weightDecay }) => {
      const end = gradients.reduce<{ readonly p: Numbers; readonly b: Numbers }>(
        (at, g) => {
          const b = zip((old = 0, x = 0, w = 0) => momentum * old + x + weightDecay * w, at.b, g, at.p)
          return { p: zip((x = 0, y = 0) => x - rate * y, at.p, b), b }
        },
        { p: start, b: start.map(() => 0) },
      )
      return Math.max(gap(p, end.p), gap(buffer, end.b))
    },
  }),
]

const averaging: readonly Law[] = [
  lawOf({
    about: 'clipNorm',
    name: 'gradients are clipped to a length, never turned nor stretched',
    equation: "g' = g min(1, c / (|g| + 1e-6)) over all parameters at once; |g| is told as it was",
    source: 'Pascanu et al. 2013, algorithm 1; PyTorch, clip_grad_norm_',
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: fc.record({ a: numbers, b: numbers, limit: fc.oneof(real(0.1, 2), real(5, 20)) }),
    outputs: ({ a, b, limit }) => {
      const { gradients, norm } = clipByGlobalNorm(limit)({ a: vector(a), b: vector(b) })
      return { ...gradients, norm }
    },
    deviation: (found, { a, b, limit }) => {
      const length = Math.hypot(...a, ...b)
      const factor = Math.min(1, limit / (length + 1e-6))
      return Math.max(
        gap(
          [...found.a, ...found.b],
          [...a, ...b].map((x) => x * factor),
        ),
        gap(found.norm, [length]),
      )
    },
  }),
  lawOf({
    about: 'emaDecay',
    name: 'an average forgets by its decay, sooner at first where it warms up',
    equation: "s' = d s + (1 - d) p, d = min(decay, (1 + n) / (10 + n)) at update n = 1, 2, ...",
    source: 'CompVis latent-diffusion, ldm/modules/ema.py: LitEma',
    tolerance: { float64: 1e-12, float32: 1e-5 },
    arbitrary: fc.record({
      start: numbers,
      seen: fc.array(numbers, { minLength: 1, maxLength: 4 }),
      decay: fc.oneof(real(0, 0.3), real(0.9, 1)),
      warmUp: fc.boolean(),
    }),
    outputs: ({ start, seen, ...options }) => {
      const average = ema(options)
      const end = seen.reduce(
        (shadow, p, i) =>
          average.update({
            parameters: only(vector(p)),
            state: { shadow: only(shadow) },
            scalars: fedScalars(average.at(i + 1)),
          }).shadow.p,
        vector(start),
      )
      return { end }
    },
    deviation: ({ end }, { start, seen, decay, warmUp }) =>
      gap(
        end,
        seen.reduce((s, p, i) => {
          const d = warmUp ? Math.min(decay, (2 + i) / (11 + i)) : decay
          return zip((x = 0, y = 0) => d * x + (1 - d) * y, s, p)
        }, start),
      ),
  }),
]

/** How parameters move. */
export const optimizerLaws: readonly Law[] = [...descending, ...averaging]
