import { bicubic, enlarged } from '../data/resample.ts'
import { input, integers, less, noise, select, type Tensor } from '../declare/index.ts'
import { floats, ints, type Values } from '../execute/executor.ts'
import { float, int, type Shape } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { type Decoded, integer, number, record, tagged, withDefault } from '../schema.ts'
import { type Problems, setting, unless } from './problems.ts'

/** What a diffusion model is told beside x_t and t: each kind of condition is a row, and no other file knows one by name. */

const codecs = {
  none: record({}),
  /** The data's classes; dropped with this probability in training, so that guidance has an unconditional model. */
  class: record({}, { dropout: withDefault(number({ min: 0, max: 1 }), 0.1) }),
  /** A picture of `factor` times fewer pixels a side, as channels beside x_t (Saharia et al. 2021; Rombach et al. 2022, section 4.4). */
  'super-resolution': record({}, { factor: withDefault(integer({ min: 2, max: 64 }), 4) }),
} as const

export const conditioning = tagged('kind', codecs)
export type Conditioning = Decoded<typeof conditioning>
type Kind = Conditioning['kind']
type Of<K extends Kind> = Extract<Conditioning, { readonly kind: K }>

/** Leaves of what is told. */
export const conditioningLeaves = { labels: 'labels', beside: 'beside' } as const

/** Where diffusion takes place: [C, h, w] of latents, [C, H, W] of pictures, as many classes as the data has. */
export interface Space {
  readonly latent: Shape
  readonly picture: Shape
  readonly classes: number
}

/** What the network is given, each with the batch on axis 0. */
export interface Told {
  readonly y?: Tensor
  readonly context?: Tensor
  /** Further channels of x_t. */
  readonly beside?: Tensor
}

/** What is asked for, or known of the data: a class for each picture, and where the condition is a picture one for each. */
export interface Asked {
  readonly labels: ArrayLike<number>
  readonly pictures?: Float32Array
}

/** A kind of condition in its space. */
export interface Conditioner {
  /** Classes that the U-Net embeds; null for none. */
  readonly classes: number | null
  /** How many channels lie beside x_t. */
  readonly channels: number
  /** Told of a batch while sampling. */
  readonly given: (batch: number) => Told
  /** The same while training, now and then without the condition. */
  readonly trained: (batch: number) => Told
  /** Told for guidance: no condition. Undefined where doing without is not learnt. */
  readonly nothing?: (batch: number) => Told
  /** Told for guidance away from a class. Undefined where there are none. */
  readonly ofClass?: (batch: number, label: number) => Told
  /** What the leaves are fed. */
  readonly feeds: (asked: Asked) => Values
  /** Where the condition is a picture. */
  readonly pictures?: PictureCondition
  /** Of an experiment's fields. */
  readonly rules: Problems
}

/** Square pictures as a condition. */
export interface PictureCondition {
  /** What such a picture is, in a word or two. */
  readonly name: string
  readonly shape: Shape
  /** What is told of whole pictures of the data. */
  readonly of: (pictures: Float32Array) => Float32Array
  /** As pictures of the data's size, to be looked at. */
  readonly shown: (conditions: Float32Array) => Float32Array
  /** The same by interpolation: what a model has to beat. */
  readonly baseline: (conditions: Float32Array) => Float32Array
}

const side = (shape: Shape): number => shape[1] ?? 0

const unconditional: Conditioner = {
  classes: null,
  channels: 0,
  given: () => ({}),
  trained: () => ({}),
  feeds: () => ({}),
  rules: [],
}

const classConditioner = ({ dropout }: Of<'class'>, { classes }: Space): Conditioner => {
  const labels = (batch: number): Tensor => input(conditioningLeaves.labels, int(batch))
  const ofClass = (batch: number, label: number): Told => ({
    y: integers(Array.from({ length: batch }, () => label)),
  })
  const dropped = (y: Tensor): Tensor =>
    dropout === 0 ? y : pipe(noise('label_dropout', y.shape, 'uniform'), less(dropout), select(integers([classes]), y))
  return {
    ...unconditional,
    classes: classes + 1,
    given: (batch) => ({ y: labels(batch) }),
    trained: (batch) => ({ y: dropped(labels(batch)) }),
    ofClass,
    ...(dropout > 0 && dropout < 1 ? { nothing: (batch: number) => ofClass(batch, classes) } : {}),
    feeds: ({ labels: asked }) => ({
      [conditioningLeaves.labels]: ints([asked.length], Int32Array.from(asked)),
    }),
  }
}

const superResolution = ({ factor }: Of<'super-resolution'>, { latent, picture }: Space): Conditioner => {
  const [channels = 0, whole = 0] = picture
  const low = whole / factor
  const at = '/diffusion/conditioning/factor'
  const given = (batch: number): Told => ({
    beside: input(conditioningLeaves.beside, float(batch, channels, side(latent), side(latent))),
  })
  const fits = (f: number): boolean => whole % f === 0 && side(latent) % (whole / f) === 0
  const other = Array.from({ length: 63 }, (_, i) => i + 2).find(fits)
  return {
    ...unconditional,
    channels,
    given,
    trained: given,
    feeds: ({ pictures = new Float32Array() }) => {
      const beside = bicubic(pictures, low, side(latent))
      const shape = [beside.length / (channels * side(latent) ** 2), channels, side(latent), side(latent)]
      return { [conditioningLeaves.beside]: floats(shape, beside) }
    },
    pictures: {
      name: 'low resolution',
      shape: [channels, low, low],
      of: (pictures) => bicubic(pictures, whole, low),
      shown: (conditions) => enlarged(conditions, low, whole),
      baseline: (conditions) => bicubic(conditions, low, whole),
    },
    rules: unless(
      fits(factor),
      at,
      `a divisor of ${whole}, the size of the pictures, by which they are no larger than the latents, and divide these`,
      factor,
      other === undefined ? undefined : setting({ [at]: other }),
    ),
  }
}

const makers: { readonly [K in Kind]: (c: Of<K>, space: Space) => Conditioner } = {
  none: () => unconditional,
  class: classConditioner,
  'super-resolution': superResolution,
}
const make = <K extends Kind>(kind: K, c: Of<K>, space: Space): Conditioner => makers[kind](c, space)

/** The condition that is declared. */
export const conditionerOf = (c: Conditioning, space: Space): Conditioner => make(c.kind, c, space)
