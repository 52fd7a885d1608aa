import type { Checked } from '../error.ts'
import {
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
  planWalk,
  plms,
  renoise,
  type Sampler,
  type SamplingPlan,
  unipc,
} from '../samplers/index.ts'
import { spacings } from '../schedulers/levels.ts'
import { mostTimesteps } from '../schedulers/noise-schedule.ts'
import type { Path } from '../schedulers/path.ts'
import { type Decoded, decode, integer, number, record, tagged, withDefault, word } from '../schema.ts'

/** How pictures are drawn: each sampler is a row, and no other file knows one by name. */

const share = number({ min: 0, max: 1 })
const order = (max: number) => integer({ min: 1, max })
const count = integer({ min: 1, max: mostTimesteps })

const common = {
  /** Where along the path the network is asked. */
  spacing: withDefault(word(spacings), 'trailing'),
  /** Scale of classifier-free guidance; 1 is the conditional model. */
  guidance: withDefault(number({ min: 0, max: 1000 }), 1),
  /** Pictures a class, or in all without classes. */
  perClass: withDefault(integer({ min: 1, max: 1000 }), 8),
}
const stepped = { ...common, steps: withDefault(count, 25) }
const eta = (fallback: number) => ({
  /** How much noise is drawn: 0 none. */
  eta: withDefault(share, fallback),
})
const churn = {
  /** Noise that is added before steps, over the whole walk (S_churn). */
  churn: withDefault(number({ min: 0, max: 1000 }), 0),
}
const integrand = {
  /** What is taken for a polynomial: predictions of x_0 (DPM-Solver++), or of eps (DPM-Solver). */
  integrand: withDefault(word(['x0', 'eps']), 'x0'),
}

const codecs = {
  ddim: record({}, { ...stepped, ...eta(0) }),
  /** Visits all timesteps where `steps` is left out. */
  ddpm: record(
    {},
    {
      ...common,
      /** Of the posterior beta~, of the forward step beta, or learnt by the network between both. */
      variance: withDefault(word(['small', 'large', 'learned']), 'small'),
    },
    { steps: count },
  ),
  plms: record({}, stepped),
  euler: record({}, { ...stepped, ...churn }),
  'euler-ancestral': record({}, { ...stepped, ...eta(1) }),
  heun: record({}, { ...stepped, ...churn }),
  'dpm-2': record({}, { ...stepped, ...churn }),
  'dpm-2-ancestral': record({}, { ...stepped, ...eta(1) }),
  lms: record({}, { ...stepped, order: withDefault(order(4), 4) }),
  'dpm++-2m': record({}, stepped),
  'dpm++-2m-sde': record(
    {},
    { ...stepped, ...eta(1), secondOrder: withDefault(word(['midpoint', 'heun']), 'midpoint') },
  ),
  'dpm++-3m-sde': record({}, { ...stepped, ...eta(1) }),
  'dpm++-2s-ancestral': record({}, { ...stepped, ...eta(1) }),
  'dpm++-sde': record({}, { ...stepped, ...eta(1) }),
  'dpm-multistep': record({}, { ...stepped, ...integrand, ...eta(0), order: withDefault(order(3), 2) }),
  'dpm-singlestep': record({}, { ...stepped, ...integrand, ...eta(0), order: withDefault(order(3), 2) }),
  'dpm-fast': record({}, { ...stepped, ...eta(0) }),
  unipc: record({}, { ...stepped, order: withDefault(order(3), 2), variant: withDefault(word(['bh1', 'bh2']), 'bh2') }),
  deis: record({}, { ...stepped, order: withDefault(order(3), 2) }),
  lcm: record({}, stepped),
  renoise: record({}, stepped),
} as const

export const sampling = tagged('sampler', codecs, 'dpm++-2m')
export type Sampling = Decoded<typeof sampling>
export type SamplerName = Sampling['sampler']
export const samplerNames = Object.keys(codecs)

type Of<K extends SamplerName> = Extract<Sampling, { readonly sampler: K }>
const makers: { readonly [K in SamplerName]: (s: Of<K>) => Sampler } = {
  ddim: ({ eta }) => ddim({ eta }),
  ddpm: ({ variance }) => ddpm({ vPosterior: ({ small: 0, large: 1, learned: 'learned' } as const)[variance] }),
  plms: () => plms(),
  euler: ({ churn }) => euler({ churn }),
  'euler-ancestral': ({ eta }) => eulerAncestral({ eta }),
  heun: ({ churn }) => heun({ churn }),
  'dpm-2': ({ churn }) => dpm2({ churn }),
  'dpm-2-ancestral': ({ eta }) => dpm2Ancestral({ eta }),
  lms: ({ order }) => lms({ order }),
  'dpm++-2m': () => dpmpp2m(),
  'dpm++-2m-sde': ({ eta, secondOrder }) => dpmpp2mSde({ eta, secondOrder }),
  'dpm++-3m-sde': ({ eta }) => dpmpp3mSde({ eta }),
  'dpm++-2s-ancestral': ({ eta }) => dpmpp2sAncestral({ eta }),
  'dpm++-sde': ({ eta }) => dpmppSde({ eta }),
  'dpm-multistep': ({ order, integrand, eta }) => dpmMultistep({ order, integrand, eta }),
  'dpm-singlestep': ({ order, integrand, eta }) => dpmSinglestep({ order, integrand, eta }),
  'dpm-fast': ({ eta }) => dpmFast({ eta }),
  unipc: ({ order, variant }) => unipc({ order, variant }),
  deis: ({ order }) => deis({ order }),
  lcm: () => lcm(),
  renoise: () => renoise(),
}
const make = <K extends SamplerName>(kind: K, s: Of<K>): Sampler => makers[kind](s)

/** The sampler that is declared. */
export const samplerOf = (s: Sampling): Sampler => make(s.sampler, s)

/** How many steps are asked for: all timesteps where none are. */
const stepsOf = (s: Sampling, timesteps: number): number => s.steps ?? timesteps

/** The numbers of each step. Errors (`config`): at pointers inside the declaration. */
export const planOf = (s: Sampling, path: Path): Checked<SamplingPlan> =>
  planWalk(samplerOf(s), path, {
    kind: s.spacing,
    steps: stepsOf(s, Math.round(path.span[1] - path.span[0]) + 1),
  })

/** Few steps, for pictures that training shows on its way: the declared sampler where it takes few, else the default one. */
export const previewOf = (s: Sampling): Sampling => {
  const few = 20
  return s.sampler === 'ddpm'
    ? { sampler: 'dpm++-2m', steps: few, spacing: 'trailing', guidance: s.guidance, perClass: s.perClass }
    : { ...s, steps: Math.min(few, s.steps) }
}

/** What may be asked for in the place of what an experiment declares. */
export interface SamplingRequest {
  readonly sampler?: string
  readonly steps?: number
  readonly spacing?: string
  readonly eta?: number
  readonly guidance?: number
}

/**
 * The declared sampling with what is asked for instead. Of another sampler than the declared one, only guidance and the number of
 * pictures are kept: steps, spacing and options are its own. Errors (`config`, at `/<option>`): what the sampler does not read.
 */
export const requested = (declared: Sampling, { sampler, ...asked }: SamplingRequest): Checked<Sampling> => {
  const { guidance, perClass } = declared
  const base = sampler === undefined || sampler === declared.sampler ? declared : { sampler, guidance, perClass }
  return decode(sampling)({ ...base, ...asked })
}

/** A sampling of a model of so many timesteps in a line: `dpm++-2m, 25 steps, trailing, guidance 4`. */
export const saysSampling = (s: Sampling, timesteps: number): string =>
  [
    s.sampler,
    `${stepsOf(s, timesteps)} steps`,
    s.spacing,
    ...('eta' in s ? [`eta ${s.eta}`] : []),
    ...(s.guidance === 1 ? [] : [`guidance ${s.guidance}`]),
  ].join(', ')
