import { dynamicThreshold, within } from '../diffusion/keep.ts'
import { type Checked, fail } from '../error.ts'
import { E, pipe, RNEA } from '../prelude.ts'
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
  type Keep,
  lastPart,
  lcm,
  lms,
  planSampling,
  plms,
  renoise,
  repaint,
  type Sampler,
  type SamplingPlan,
  unipc,
} from '../samplers/index.ts'
import { levelsOf, spacings } from '../schedulers/levels.ts'
import type { Level, Path } from '../schedulers/path.ts'
import { type Decoded, decode, describedTagged } from '../schema.ts'
import { setting } from './problems.ts'
import { samplerFields, unguidedDefaults } from './sampling-fields.ts'

/** How pictures are drawn: each sampler is a row, and no other file knows one by name. */

/** The sampler where none is declared. */
const standard = 'dpm++-2m'
export const sampling = describedTagged('sampler', samplerFields, standard)
export type Sampling = Decoded<typeof sampling>
export type SamplerName = Sampling['sampler']
/** Those that are here: all but a program's own. */
export const samplerNames = Object.keys(samplerFields).filter((name) => name !== 'own')
type Here = Exclude<SamplerName, 'own'>

type Of<K extends SamplerName> = Extract<Sampling, { readonly sampler: K }>
const makers: { readonly [K in Here]: (s: Of<K>) => Sampler } = {
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
  repaint: ({ jump, resample, eta }) => repaint({ jump, resample, eta }),
  renoise: () => renoise(),
}
const make = <K extends Here>(kind: K, s: Of<K>): Sampler => makers[kind](s)

/** The sampler that is declared; `own` is that of the program. Errors (`config`): none, where the program's is declared. */
export const samplerOf = (s: Sampling, own?: Sampler): Checked<Sampler> =>
  s.sampler !== 'own'
    ? E.right(make(s.sampler, s))
    : own === undefined
      ? fail('config', '/sampler', 'the sampler of the program that defined the experiment', 'none')
      : E.right(own)

/** How many steps are asked for: all timesteps where none are. */
export const stepsOf = (s: Sampling, timesteps: number): number => s.steps ?? timesteps

/** The levels of all steps. Errors (`config`): at pointers inside the declaration. */
export const samplingLevels = (s: Sampling, path: Path): Checked<readonly Level[]> =>
  levelsOf(path, { kind: s.spacing, steps: stepsOf(s, timestepsOf(path)) })

const planned = (s: Sampling, path: Path, strength: number, own?: Sampler): Checked<SamplingPlan> =>
  pipe(
    samplingLevels(s, path),
    E.flatMap(lastPart(strength)),
    E.bindTo('levels'),
    E.bind('sampler', () => samplerOf(s, own)),
    E.flatMap(({ levels, sampler }) => planSampling(sampler, path, chain(levels))),
  )

/** One field changed, as near to what is declared as can be, in the order of preference; at last another sampler. */
const nearby = (s: Sampling, path: Path): readonly (readonly [pointer: string, value: unknown, then: Sampling])[] => {
  const most = timestepsOf(path)
  const other = decode(sampling)({ sampler: standard, ...shared(s) })
  return [
    ...('integrand' in s ? [['/integrand', 'x0', { ...s, integrand: 'x0' }] as const] : []),
    ...spacings.map((spacing) => ['/spacing', spacing, { ...s, spacing }] as const),
    ...(path.whole && stepsOf(s, most) > most ? [['/steps', most, { ...s, steps: most }] as const] : []),
    ...(E.isRight(other) ? [['', { sampler: standard }, other.right] as const] : []),
  ]
}
/** A change with which a walk can be planned that cannot be as declared, as an option for the command line. */
const wayOn = (s: Sampling, path: Path, strength: number): string | undefined => {
  const found = nearby(s, path).find(([, , then]) => E.isRight(planned(then, path, strength)))
  return found === undefined ? undefined : setting({ [`/sampling${found[0]}`]: found[1] })
}

/**
 * The numbers of each step, or of the last of them by strength. Errors (`config`): at pointers inside the declaration, with a way on
 * that was tried.
 */
export const planOf = (s: Sampling, path: Path, strength = 1, own?: Sampler): Checked<SamplingPlan> =>
  pipe(
    planned(s, path, strength, own),
    E.mapLeft((errors) => {
      const hint = wayOn(s, path, strength)
      return pipe(
        errors,
        RNEA.map((e) => (hint === undefined || !places.includes(e.at) ? e : { ...e, hint })),
      )
    }),
  )
/** What a way on can change. */
const places: readonly string[] = ['/steps', '/spacing']

/** What guidance above 1 is multiplied by, of a share of the path. */
const courses: { readonly [K in Sampling['guidanceSchedule']]: (share: number) => number } = {
  constant: () => 1,
  linear: (share) => 2 * (1 - share),
  cosine: (share) => 1 + Math.cos(Math.PI * share),
}

/** The scale of guidance at a time. */
export const guidanceAt = (s: Sampling, { span: [least, most] }: Path, t: number): number => {
  const share = (t - least) / (most - least)
  const [from = 0, to = 1] = s.guidanceInterval
  return share >= from && share <= to ? 1 + (s.guidance - 1) * courses[s.guidanceSchedule](share) : 1
}

const keeps: {
  readonly [K in Sampling['keep']['kind']]: (k: Extract<Sampling['keep'], { kind: K }>) => Keep | undefined
} = {
  all: () => undefined,
  within: ({ range }) => within(range),
  dynamic: dynamicThreshold,
}
const keepBy = <K extends Sampling['keep']['kind']>(kind: K, k: Extract<Sampling['keep'], { kind: K }>) =>
  keeps[kind](k)
/** Where predictions of x_0 are kept; nothing where anywhere. */
export const keepOf = ({ keep }: Sampling): Keep | undefined => keepBy(keep.kind, keep)

/** What is the same for every sampler, but steps and spacing. */
const shared = ({ guidance, guidanceRescale, guidanceInterval, guidanceSchedule, keep, perClass }: Sampling) => ({
  guidance,
  guidanceRescale,
  guidanceInterval,
  guidanceSchedule,
  keep,
  perClass,
})

const timestepsOf = ({ span: [least, most] }: Path): number => Math.round(most - least) + 1

/**
 * Few steps, for pictures that training shows on its way: the declared sampler where it takes few, else the default one; as declared
 * where neither can walk the path in so few.
 */
export const previewOf = (s: Sampling, path: Path): Sampling => {
  const few = Math.min(20, path.whole ? timestepsOf(path) : 20)
  const quick: Sampling = { sampler: standard, steps: few, spacing: 'trailing', ...shared(s) }
  const ways: readonly Sampling[] = s.sampler === 'ddpm' ? [quick] : [{ ...s, steps: Math.min(few, s.steps) }, quick]
  return ways.find((way) => E.isRight(planned(way, path, 1))) ?? s
}

/** What may be asked for in the place of what an experiment declares. */
export interface SamplingRequest {
  readonly sampler?: string
  readonly steps?: number
  readonly spacing?: string
  readonly eta?: number
  readonly guidance?: number
  readonly guidanceRescale?: number
}

/**
 * The declared sampling with what is asked for instead. Of another sampler than the declared one, guidance, where predictions are
 * kept and the number of pictures stay: steps, spacing and options are its own. Errors (`config`, at `/<option>`): what the sampler does not read.
 */
export const requested = (declared: Sampling, { sampler, ...asked }: SamplingRequest): Checked<Sampling> => {
  // What changes guidance goes with it.
  const unguided = asked.guidance === 1 ? unguidedDefaults : {}
  const base = sampler === undefined || sampler === declared.sampler ? declared : { sampler, ...shared(declared) }
  return decode(sampling)({ ...base, ...unguided, ...asked })
}

const saysGuidance = ({ guidanceRescale, guidanceInterval, guidanceSchedule }: Sampling): readonly string[] => [
  ...(guidanceRescale === 0 ? [] : [`rescaled by ${guidanceRescale}`]),
  ...(guidanceInterval[0] === 0 && guidanceInterval[1] === 1 ? [] : [`within ${guidanceInterval.join(' to ')}`]),
  ...(guidanceSchedule === 'constant' ? [] : [guidanceSchedule]),
]
const saysKeep = (keep: Sampling['keep']): readonly string[] =>
  keep.kind === 'all'
    ? []
    : [
        keep.kind === 'within'
          ? `x0 within ${keep.range}`
          : `x0 within its ${keep.share} quantile, at most ${keep.most}`,
      ]

/** A sampling of a model of so many timesteps in a line: `dpm++-2m, 25 steps, trailing, guidance 4`. */
export const saysSampling = (s: Sampling, timesteps: number): string =>
  [
    s.sampler,
    `${stepsOf(s, timesteps)} steps`,
    s.spacing,
    ...('eta' in s ? [`eta ${s.eta}`] : []),
    ...(s.guidance === 1 ? [] : [`guidance ${s.guidance}`, ...saysGuidance(s)]),
    ...saysKeep(s.keep),
  ].join(', ')
