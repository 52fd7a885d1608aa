import {
  add,
  broadcast,
  cast,
  constant,
  input,
  mul,
  oneHot,
  reshape,
  sum,
  type Tensor,
  transpose,
} from '../declare/index.ts'
import { float, int } from '../graph/types.ts'
import type { AutoencoderConfig } from '../nn/autoencoder/config.ts'
import { pipe } from '../prelude.ts'
import type { Adversarial, FirstStage } from './document.ts'

/** What a step of the first stage is given: pictures, and what is known of them. */

export const pictureLeaves = {
  pixels: 'pixels',
  /** The class of each picture. */
  labels: 'labels',
  /** The label of each pixel. */
  map: 'label_map',
  /** How much of each pixel is covered. */
  coverage: 'coverage',
} as const

/** The pictures of a batch: how many, their height and width where these are not the network's resolution, and of how many classes. */
export interface Pictures {
  readonly count: number
  readonly side?: readonly [height: number, width: number]
  readonly classes?: number
}

const sideOf = (c: AutoencoderConfig, { side = [c.resolution, c.resolution] }: Pictures) => side

export const pixels = (c: AutoencoderConfig, pictures: Pictures): Tensor =>
  input(pictureLeaves.pixels, float(pictures.count, c.inChannels, ...sideOf(c, pictures)), 'pixels in [-1, 1]')

type Condition = NonNullable<Adversarial['condition']>
type Conditions = {
  readonly [K in Condition['kind']]: (
    c: Extract<Condition, { readonly kind: K }>,
    given: { readonly count: number; readonly side: readonly [number, number]; readonly classes: number },
  ) => Tensor
}
const conditions: Conditions = {
  class: (_, { count, side, classes }) =>
    pipe(
      input(pictureLeaves.labels, int(count)),
      oneHot(classes),
      reshape(count, classes, 1, 1),
      broadcast(count, classes, ...side),
    ),
  'label-map': ({ labels }, { count, side }) =>
    pipe(input(pictureLeaves.map, float(count, ...side)), cast('int32'), oneHot(labels), transpose(0, 3, 1, 2)),
}
const conditionBy = <K extends Condition['kind']>(
  kind: K,
  c: Extract<Condition, { readonly kind: K }>,
  ...given: [Parameters<Conditions[K]>[1]]
): Tensor => conditions[kind](c, ...given)

/** What a conditional discriminator sees beside the pictures, [N, C, H, W]: 1 in the channel of the class or label, 0 elsewhere. */
export const conditionOf = ({ adversarial, network }: FirstStage, pictures: Pictures): Tensor | undefined => {
  const condition = adversarial?.condition
  const { count, classes = 0 } = pictures
  return condition === undefined
    ? undefined
    : conditionBy(condition.kind, condition, { count, side: sideOf(network, pictures), classes })
}

type Weights = NonNullable<Extract<FirstStage, { readonly kind: 'kl' }>['loss']['weights']>
type Weighing = {
  readonly [K in Weights['kind']]: (w: Extract<Weights, { readonly kind: K }>, inputs: Tensor) => Tensor
}
const weighing: Weighing = {
  transparency: ({ transparent }, { shape: [n = 0, , ...side] }) =>
    pipe(input(pictureLeaves.coverage, float(n, 1, ...side)), mul(1 - transparent), add(transparent)),
  labels: ({ weights }, inputs) =>
    pipe(
      inputs,
      add(1),
      mul(0.5),
      mul(pipe(constant(weights, float(weights.length)), reshape(1, weights.length, 1, 1))),
      sum({ axes: [1], keepDims: true }),
    ),
}
const weighedBy = <K extends Weights['kind']>(
  kind: K,
  w: Extract<Weights, { readonly kind: K }>,
  ...inputs: [Tensor]
): Tensor => weighing[kind](w, ...inputs)

/** How much each pixel of the pictures counts, [N, 1, H, W]. */
export const pixelWeights = (weights: Weights, inputs: Tensor): Tensor => weighedBy(weights.kind, weights, inputs)
