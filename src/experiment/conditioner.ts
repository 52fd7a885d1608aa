import type { Random } from '../data/batches.ts'
import type { BoxClasses } from '../data/boxes.ts'
import type { About, Batch } from '../data/dataset.ts'
import type { Tensor } from '../declare/index.ts'
import type { Checked } from '../error.ts'
import type { Values } from '../execute/executor.ts'
import type { Shape } from '../graph/types.ts'
import { about, number, withDefault } from '../schema.ts'
import type { Problems } from './problems.ts'

/** What a kind of condition is, in the space where diffusion takes place. */

/** How often a condition is left out in training. */
export const dropped = (fallback: number) =>
  about(
    'Share of the pictures whose condition is left out in training, so that guidance has an unconditional model to lead away from; 0 for none, and then no guidance.',
    withDefault(number({ min: 0, max: 1 }), fallback),
    0.1,
  )

/** Leaves of what is told. */
export const conditioningLeaves = {
  labels: 'labels',
  beside: 'beside',
  hint: 'hint',
  /** A picture without what is missing, and where that is among the latents, where the first stage encodes it. */
  masked: 'masked',
  mask: 'mask',
  tokens: 'tokens',
  /** Of what guidance leads away from. */
  negativeLabels: 'negative_labels',
  negativeTokens: 'negative_tokens',
  awayTokens: 'away_tokens',
  /** What texts were encoded to, what no text was, and what guidance leads away from. */
  context: 'context',
  nothingContext: 'nothing_context',
  vector: 'vector',
  awayContext: 'away_context',
  awayVector: 'away_vector',
  /** Of boxes, as tokens. */
  boxes: 'boxes',
} as const

/** Where diffusion takes place: [C, h, w] of latents, [C, H, W] of pictures, as many classes as the data has. */
export interface Space {
  readonly latent: Shape
  readonly picture: Shape
  readonly classes: number
  /** What the first stage makes of pictures, without chance and before it is scaled; its weights are held. */
  readonly encode?: (pictures: Tensor) => Tensor
}

/** What the network is given, each with the batch on axis 0. */
export interface Told {
  readonly y?: Tensor
  readonly context?: Tensor
  /** Further channels of x_t. */
  readonly beside?: Tensor
  /** Pictures [N, 3, H, W] in [0, 1] that a ControlNet sees. */
  readonly hint?: Tensor
}

/** What is asked for, or known of the data: a class for each picture, and where the condition is a picture or a text one for each. */
export interface Asked {
  readonly labels: ArrayLike<number>
  readonly pictures?: Float32Array
  /** Of texts, as many for each picture as the model has positions. */
  readonly tokens?: Int32Array
  /** Of what is known of pictures beside their pixels, as many numbers for each as the model is told. */
  readonly known?: Float32Array
  /** What guidance leads away from, one for all pictures; no condition where left out. */
  readonly negative?: { readonly label: number } | { readonly tokens: Int32Array }
}

/** A kind of condition in its space. */
export interface Conditioner {
  /** Classes that the U-Net embeds; null for none. */
  readonly classes: number | null
  /** How many channels lie beside x_t. */
  readonly channels: number
  /** Width of the context that the U-Net attends to; null for none. */
  readonly context: number | null
  /** Told of a batch that is not trained on; `scale` is the leaf of what latents are multiplied by, where there is one already. */
  readonly given: (batch: number, scale?: Tensor) => Told
  /** What is the same at all steps of a walk and is worth computing once, by the leaves of `walked`, `nothing` and `away`. */
  readonly ahead?: (batch: number) => Readonly<Record<string, Tensor>>
  /** What training too is told as it comes of this, computed once of each text. */
  readonly learntAhead?: (batch: number) => Readonly<Record<string, Tensor>>
  /** Told at each step of a walk; `given` where left out. */
  readonly walked?: (batch: number) => Told
  /** The same while training, now and then without the condition. */
  readonly trained: (batch: number, scale?: Tensor) => Told
  /** Told at each step for guidance: no condition. Undefined where doing without is not learnt. */
  readonly nothing?: (batch: number) => Told
  /** Told at each step for guidance away from what is fed as negative. Undefined where nothing of the kind can be said. */
  readonly away?: (batch: number) => Told
  /** What the leaves are fed. */
  readonly feeds: (asked: Asked) => Values
  /** Width of a vector that is added to the time; none where left out. */
  readonly vector?: number
  /** Where the condition is known of pictures beside their pixels. */
  readonly known?: KnownCondition
  /** Where the condition is a picture. */
  readonly pictures?: PictureCondition
  /** Where the condition is a text: how many tokens a text has, and how many are learnt of the captions; null where words are known. */
  readonly text?: { readonly vocabulary: number | null; readonly positions: number }
  /** Of an experiment's fields. */
  readonly rules: Problems
}

/** A folder of label maps under the pictures' names: a pixel's grey value is its label. */
export interface LabelMaps {
  readonly path: string
  readonly labels: number
}

/** What is known of pictures beside their pixels, as so many numbers of each. */
export interface KnownCondition {
  readonly asks: 'vector' | 'boxes'
  readonly width: number
  /** What is in boxes. */
  readonly classes?: BoxClasses
  /** Errors (`data`, `usage`): what is not known of one, or does not fit, behind its place. */
  readonly of: (about: Pick<About, 'vector' | 'boxes'>, at: string) => Checked<readonly number[]>
}

/** Square pictures as a condition. */
export interface PictureCondition {
  /** What a person gives: a small picture, a picture and what of it is to be drawn anew, the label of each pixel, or what to follow. */
  readonly asks: 'low resolution' | 'mask' | 'label map' | 'hint'
  /** What such a picture is, in a word or two. */
  readonly name: string
  readonly shape: Shape
  /** What is told of whole pictures of the data; what of it is chance is drawn by a source for each. */
  readonly of: (known: Pick<Batch, 'pictures' | 'maps' | 'hints'>, random: (picture: number) => Random) => Float32Array
  /** Where the data's label maps lie, and how many labels there are, where the condition is made of them. */
  readonly maps?: LabelMaps
  /** Where the data's hints lie. */
  readonly hints?: string
  /** As pictures of the data's size, to be looked at. */
  readonly shown: (conditions: Float32Array) => Float32Array
  /** The same by interpolation, where that can be: what a model has to beat. */
  readonly baseline?: (conditions: Float32Array) => Float32Array
  /** Pictures that were drawn, with what is known of them put back. */
  readonly finish?: (drawn: Float32Array, conditions: Float32Array) => Float32Array
}

export const unconditional: Conditioner = {
  classes: null,
  channels: 0,
  context: null,
  given: () => ({}),
  trained: () => ({}),
  feeds: () => ({}),
  rules: [],
}
