import { type Checked, collect, type Effect, type Errors, fail, type LatentError } from '../error.ts'
import { checkPicture, type Picture } from '../io/pictures.ts'
import { E, pipe, RNEA } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { Description } from './opened.ts'
import { checkFrom } from './sample-from.ts'
import { applicable, type Options } from './sample-options.ts'

/** What a program asks a run for. */

/** One step of a batch of the pictures. */
export interface SampleStep {
  /** Steps done of all batches together, and how many there are. */
  readonly done: number
  readonly of: number
  /** The first picture of the batch, and how many there are in it. */
  readonly from: number
  readonly n: number
  /** The pictures that it is going to be, as far as the step knows; computed when it is run. */
  readonly predicted: () => Effect<readonly Picture[]>
}

/** What drawing begins with instead of noise alone. */
export type SampleFrom =
  /** A picture, of which a share is drawn anew (0.75 where left out, with a mask 1); with a mask where that is white. */
  | { readonly picture: Picture; readonly strength?: number; readonly mask?: Picture }
  /** Noise between that of the seed and that of another: a picture for each share of the way, 0 to 1. */
  | { readonly towards: number; readonly shares: readonly number[] }

/** What is left out is as the run declares it. */
export interface SampleRequest {
  /** What to draw, of a model that reads texts; several: as many pictures of each. */
  readonly prompt?: string | readonly string[]
  /** What guidance leads away from: a text, or the name of a class. */
  readonly negative?: string
  /** A class by its name or its number; where left out, a row of each. */
  readonly class?: string | number
  /** Pictures of each prompt or class. */
  readonly count?: number
  readonly seed?: number
  readonly steps?: number
  /** The scale of classifier-free guidance; 1 is none. */
  readonly guidance?: number
  /** How far guided predictions keep the spread of unguided ones, 0 to 1. */
  readonly guidanceRescale?: number
  readonly sampler?: string
  readonly spacing?: string
  /** How much noise a sampler draws that can do without, 0 to 1. */
  readonly eta?: number
  readonly from?: SampleFrom
  /** What a model of super-resolution draws larger. */
  readonly lowResolution?: Picture
  /** The label of each pixel, its grey value, of a model that is told one. */
  readonly labelMap?: Picture
  /** A map of depths, of a model that is told one. */
  readonly depth?: Picture
  /** Numbers, of a model that is told some. */
  readonly vector?: readonly number[]
  /** What is where: "left,top,right,bottom class; ..." in shares of the sides, of a model that is told boxes. */
  readonly boxes?: string
  /** Pixels of the pictures of a published model. */
  readonly size?: { readonly width: number; readonly height: number }
  /** Aborted, it ends the drawing within a step, with one error of the tag `stopped`. */
  readonly signal?: AbortSignal
  /** Told of each step; the next begins when its promise is fulfilled. */
  readonly onStep?: (step: SampleStep) => void | Promise<void>
}

/** Fields by the options of the command line, in whose words shared code says what does not fit. */
const fields: Readonly<Record<string, string>> = {
  '--from': 'from.picture',
  '--strength': 'from.strength',
  '--mask': 'from.mask',
  '--interpolate': 'from.towards',
  '--prompts': 'prompt',
}
const camel = (flag: string): string =>
  flag.slice(2).replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
const asField = (text: string): string =>
  text
    .replaceAll(/(?<![\w-])--[a-z]+(?:-[a-z]+)*/g, (flag) => fields[flag] ?? camel(flag))
    .replaceAll(/ a picture of \d+x\d+ pixels$/g, '')
const inFields = ({ hint, ...e }: LatentError): LatentError => ({
  ...e,
  at: asField(e.at),
  expected: asField(e.expected),
  got: asField(e.got),
  ...(hint === undefined ? {} : { hint: asField(hint) }),
})
/** Errors in the words of a request's fields. */
export const asFields = (errors: Errors): Errors => RNEA.map(inFields)(errors)

type Check<A> = (value: A, at: string) => Checked<A>
const refuse = (at: string, expected: string, got: unknown): Checked<never> =>
  fail('usage', at, expected, typeof got === 'object' ? (JSON.stringify(got) ?? 'nothing') : String(got))

const integerIn =
  (least: number, most: number, says: string): Check<number> =>
  (value, at) =>
    Number.isSafeInteger(value) && value >= least && value <= most ? E.right(value) : refuse(at, says, value)
const numberIn =
  (least: number, most: number, says: string): Check<number> =>
  (value, at) =>
    typeof value === 'number' && value >= least && value <= most && Number.isFinite(value)
      ? E.right(value)
      : refuse(at, says, value)
const share = numberIn(0, 1, 'a number from 0 to 1')
const seed = integerIn(0, Number.MAX_SAFE_INTEGER, 'a whole number from 0 on')
const text: Check<string> = (value, at) => (typeof value === 'string' ? E.right(value) : refuse(at, 'a text', value))
const texts: Check<string | readonly string[]> = (value, at) =>
  typeof value === 'string'
    ? E.right(value)
    : Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string')
      ? E.right(value)
      : refuse(at, 'a text, or some', value)
const oneOf =
  (names: readonly string[], none: string): Check<string> =>
  (value, at) =>
    names.includes(value)
      ? E.right(value)
      : fail(
          'usage',
          at,
          names.length === 0 ? none : names.join(' | '),
          String(value),
          didYouMean(String(value), names),
        )
const picture: Check<Picture> = (value, at) =>
  typeof value === 'object' && value !== null ? checkPicture(value, at) : refuse(at, 'a picture', value)

/** A row of the checks: a field, what it has, how that is checked. */
const row = <A>(at: string, value: A | undefined, check: Check<A>): Checked<unknown> =>
  value === undefined ? E.right(undefined) : check(value, at)

const fromRows = (from: SampleFrom | undefined): readonly Checked<unknown>[] => {
  if (from === undefined) return []
  if ('picture' in from)
    return [
      row('from.picture', from.picture, picture),
      row('from.strength', from.strength, share),
      row('from.mask', from.mask, picture),
    ]
  return 'towards' in from
    ? [
        row('from.towards', from.towards, seed),
        Array.isArray(from.shares) && from.shares.length > 0
          ? collect(from.shares.map((one, i) => share(one, `from.shares[${i}]`)))
          : refuse('from.shares', 'the share of the way for each picture', from.shares),
      ]
    : [refuse('from', 'a picture and a strength, or towards a seed and shares', from)]
}

const numberedClass =
  (classes: readonly string[] | undefined): Check<string | number> =>
  (value, at) =>
    typeof value === 'string'
      ? E.right(value)
      : classes?.[value] === undefined
        ? refuse(
            at,
            classes === undefined ? 'no class: the model is told none' : `0 to ${classes.length - 1}, or a name`,
            value,
          )
        : E.right(value)

/** How many kinds of pictures a request asks for. */
const kindsOf = ({ prompt, class: one }: SampleRequest, { classes = [] }: Description): number =>
  typeof prompt === 'object'
    ? prompt.length
    : prompt === undefined && one === undefined
      ? Math.max(1, classes.length)
      : 1
const countRows = (r: SampleRequest, d: Description): readonly Checked<unknown>[] => {
  const { count, from } = r
  const most = Math.max(1, Math.floor(d.maxCount / kindsOf(r, d)))
  return [
    row('count', count, integerIn(1, most, `a whole number from 1 to ${most}`)),
    ...(from !== undefined && 'shares' in from && Array.isArray(from.shares) && from.shares.length > 0
      ? [
          count === undefined || count === from.shares.length
            ? row('from.shares', from.shares.length, integerIn(1, most, `from 1 to ${most} of them`))
            : refuse('count', `${from.shares.length}, as there are shares, or nothing`, count),
        ]
      : []),
  ]
}

/** Each field once: a program without types may say others. */
const known: { readonly [K in keyof Required<SampleRequest>]: true } = {
  ...{ prompt: true, negative: true, class: true, count: true, seed: true, steps: true, guidance: true },
  ...{ guidanceRescale: true, sampler: true, spacing: true, eta: true, from: true, lowResolution: true },
  ...{ labelMap: true, depth: true, vector: true, boxes: true, size: true, signal: true, onStep: true },
}
const unknownRows = (r: SampleRequest): readonly Checked<unknown>[] =>
  Object.keys(r).flatMap((name) =>
    Object.hasOwn(known, name)
      ? []
      : [fail('usage', name, 'a field of a request', 'one that is not known', didYouMean(name, Object.keys(known)))],
  )

const mostSteps = 10_000

/** A request whose every field is of its kind and within its range. Errors (`usage`, `data`), each at its field. */
const checkRequest = (r: SampleRequest, d: Description): Checked<unknown> =>
  collect([
    ...unknownRows(r),
    row('prompt', r.prompt, texts),
    row('negative', r.negative, text),
    row('class', r.class, numberedClass(d.classes)),
    ...countRows(r, d),
    row('seed', r.seed, seed),
    row('steps', r.steps, integerIn(1, mostSteps, `a whole number from 1 to ${mostSteps}`)),
    row('guidance', r.guidance, numberIn(0, 1e4, 'a number from 0 to 10000')),
    row('guidanceRescale', r.guidanceRescale, share),
    row('sampler', r.sampler, oneOf(d.samplers, 'none')),
    row('spacing', r.spacing, oneOf(d.spacings, 'none: the model says itself where it is asked')),
    row('eta', r.eta, share),
    ...fromRows(r.from),
    row('lowResolution', r.lowResolution, picture),
    row('labelMap', r.labelMap, picture),
    row('depth', r.depth, picture),
    row('boxes', r.boxes, text),
    ...(r.vector ?? []).map((x, i) => row(`vector[${i}]`, x, numberIn(-1e30, 1e30, 'a number'))),
    row('size', r.size, (size, at) =>
      pipe(
        [size.width, size.height].every((side) => Number.isSafeInteger(side) && side > 0 && side <= 8192),
        (fits) => (fits ? E.right(size) : refuse(at, 'a width and a height of 1 to 8192 pixels', size)),
      ),
    ),
  ])

const beginningOf = (from: SampleFrom | undefined): Options =>
  from === undefined
    ? {}
    : 'towards' in from
      ? { interpolate: from.towards, shares: from.shares }
      : {
          from: from.picture,
          ...(from.strength === undefined ? {} : { strength: from.strength }),
          ...(from.mask === undefined ? {} : { mask: from.mask }),
        }

/** The request in the options of the command line, which a run is asked by. Errors (`usage`, `data`): each at its field. */
export const optionsOf = (r: SampleRequest, d: Description, published: boolean): Checked<Options> =>
  pipe(
    checkRequest(r, d),
    E.map((): Options => {
      const { prompt, class: one, count, seed: own, size, from } = r
      const named = typeof one === 'number' ? (d.classes?.[one] ?? String(one)) : one
      const asMany = from !== undefined && 'shares' in from ? from.shares.length : count
      return {
        ...(prompt === undefined ? {} : { prompt: typeof prompt === 'string' ? [prompt] : prompt }),
        ...(r.negative === undefined ? {} : { negative: r.negative }),
        ...(named === undefined ? {} : { class: named }),
        ...(asMany === undefined ? {} : { count: asMany }),
        ...(own === undefined ? {} : { seed: own }),
        ...(r.steps === undefined ? {} : { steps: r.steps }),
        ...(r.guidance === undefined ? {} : { guidance: r.guidance }),
        ...(r.guidanceRescale === undefined ? {} : { guidanceRescale: r.guidanceRescale }),
        ...(r.sampler === undefined ? {} : { sampler: r.sampler }),
        ...(r.spacing === undefined ? {} : { spacing: r.spacing }),
        ...(r.eta === undefined ? {} : { eta: r.eta }),
        ...(r.lowResolution === undefined ? {} : { lowResolution: r.lowResolution }),
        ...(r.labelMap === undefined ? {} : { labelMap: r.labelMap }),
        ...(r.depth === undefined ? {} : { depth: r.depth }),
        ...(r.boxes === undefined ? {} : { boxes: r.boxes }),
        ...(r.vector === undefined ? {} : { vector: r.vector.join(',') }),
        ...(size === undefined ? {} : { size: `${size.width}x${size.height}` }),
        ...beginningOf(from),
      }
    }),
    E.tap((options) => applicable(options, published)),
    E.tap(checkFrom),
    E.mapLeft(asFields),
  )
