import { at, relu, type Scope, shared, type Tensor } from '../declare/index.ts'
import type { Initializer } from '../graph/ops.ts'
import { flow, identity, pipe, RA, RNEA } from '../prelude.ts'
import { chain, conv2d, type Layer, maxPool2 } from './layers.ts'

/** Channels of each slice of VGG16, and the indices of its convolutions among torchvision's `features`. */
const slices = [
  { channels: 64, indices: [0, 2] },
  { channels: 128, indices: [5, 7] },
  { channels: 256, indices: [10, 12, 14] },
  { channels: 512, indices: [17, 19, 21] },
  { channels: 512, indices: [24, 26, 28] },
] as const

/** Weights that have no start: they are read from a file that the user names. */
const loaded: Initializer = { kind: 'loaded' }

const slice = (s: Scope, i: number, { channels, indices }: (typeof slices)[number]): Layer =>
  flow(
    i === 0 ? identity : maxPool2,
    chain(
      indices.map((index) =>
        flow(
          conv2d(at(s, `slice${i + 1}.${index}`), {
            out: channels,
            kernel: 3,
            padding: 1,
            init: loaded,
            trainable: false,
          }),
          relu,
        ),
      ),
    ),
  )

/**
 * The convolutions of VGG16 (Simonyan and Zisserman 2015, configuration D), frozen: x[N, 3, H, W], at least 16x16, to the
 * activations relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3. Source: `vgg16` of taming/modules/losses/lpips.py, whose names
 * these are.
 */
export const vgg16 = (s: Scope) =>
  shared((x: Tensor): readonly Tensor[] =>
    pipe(
      slices.map((part, i) => slice(s, i, part)),
      RA.scanLeft(x, (h: Tensor, layer: Layer) => layer(h)),
      RNEA.tail,
    ),
  )

/** The names of the same weights in torchvision's VGG16: `slice2.5.weight` is `features.5.weight`. */
export const torchvisionNames = (s: Scope): Readonly<Record<string, string>> =>
  Object.fromEntries(
    slices.flatMap(({ indices }, i) =>
      indices.flatMap((index) =>
        ['weight', 'bias'].map((kind) => [at(s, `slice${i + 1}.${index}.${kind}`), `features.${index}.${kind}`]),
      ),
    ),
  )
