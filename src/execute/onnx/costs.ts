import type { Phased } from '../staging.ts'
import type { Algorithms } from './calls.ts'

/**
 * Where one way to compute a convolution or an attention becomes better than another. They choose between ways to compute the same, never
 * what is computed: laws run with others, so that small arrays meet every way. All were measured on ONNX Runtime 1.30 on two cores with
 * AVX-512 (Zen 4), phases on two with AVX2 (Zen 3), each where it is told.
 */
export interface Costs {
  /** Positions of a result from which on weights that are fed are worth being put into blocks: shared/ONNXRUNTIME.md, "Lowerings". */
  readonly blockedPositions: number
  /** Channels of x up to which, and positions of x up to which, an input gradient is a transposed convolution: the same. */
  readonly transposed: { readonly channels: number; readonly positions: number }
  /** Minimal filtering of convolutions: channels of the narrower and of the wider side, tiles, numbers of all tiles: docs/decisions/0010. */
  readonly tiled: {
    readonly narrow: number
    readonly wide: number
    readonly fewestTiles: number
    readonly written: number
  }
  /** Of weight gradients: channels of the narrower side, tiles' worth of x for one of dy, numbers of all tiles: docs/decisions/0010. */
  readonly tiledGradient: { readonly narrow: number; readonly ratio: number; readonly written: number }
  /** Positions beyond which the gradient of a 1x1 weight is one product an item: shared/ONNXRUNTIME.md. */
  readonly pointwisePositions: number
  /** Channels up to which a weight's gradient is one product an item, all taps of that side beside each other: the same. */
  readonly fewChannels: number
  /** Numbers up to which all taps of all positions are gathered for one product: docs/decisions/0009. */
  readonly gathered: number
  /** Positions, or numbers in the product, from which on a sum over positions is made in two parts, one a thread: docs/decisions/0009. */
  readonly halved: { readonly positions: number; readonly product: number }
  /** Scores from which on attention is one op, which has a block of them at a time: docs/decisions/0015. */
  readonly scores: number
  /** Convolutions of enlarged maps by phases, when sampling: docs/decisions/0018. */
  readonly phased: Phased
  /** What is expected of the machine: it says how long a plan takes, and chooses nothing. */
  readonly pace: Pace
}

/** Times are expected as the longer one of computing and of going through memory. */
export interface Pace {
  /** Floating-point operations a millisecond and thread that products reach at best: shared/ONNXRUNTIME.md, "the machine's matrix peak". */
  readonly flops: number
  /** What algorithms reach of that: blocked 0010 and minimal from its 1.13 ms for 128 channels; the others ONNXRUNTIME.md, "Lowerings". */
  readonly reached: {
    readonly [K in keyof Algorithms]: { readonly [A in Algorithms[K]]: number }
  } & { readonly matmul: { readonly direct: number } }
  /** What convolutions reach where the runtime optimises, as when sampling: shared/ONNXRUNTIME.md, "At the machine's matrix peak". */
  readonly optimised: number
  /** Bytes a millisecond and thread to and from memory: Adam's 44 ms for 6.5 million parameters in ONNXRUNTIME.md. */
  readonly bytes: number
  /** Milliseconds a call, however small: the same, "Modes". */
  readonly call: number
}

export const measured: Costs = {
  blockedPositions: 128,
  transposed: { channels: 16, positions: 64 },
  tiled: { narrow: 128, wide: 256, fewestTiles: 64, written: 2_400_000 },
  tiledGradient: { narrow: 16, ratio: 16, written: 4_200_000 },
  pointwisePositions: 64,
  fewChannels: 8,
  gathered: 2_400_000,
  halved: { positions: 2048, product: 128 * 128 },
  scores: 4_000_000,
  phased: { channels: 32, products: 0.6, weights: 4_000_000 },
  pace: {
    flops: 110e6,
    reached: {
      conv2d: { direct: 0.5, widened: 0.5, blocked: 0.95, minimal: 1.2 },
      convInputGrad: { rotated: 0.5, transposed: 0.5, blocked: 0.95, minimal: 1.2 },
      convWeightGrad: {
        positions: 0.7,
        'columns of x': 0.5,
        'columns of dy': 0.5,
        minimal: 1.2,
        'gathered x': 0.7,
        'gathered dy': 0.7,
        rows: 0.7,
        'shifted x': 0.6,
        'shifted dy': 0.6,
      },
      attention: { whole: 0.7, streamed: 0.45 },
      matmul: { direct: 0.8 },
    },
    optimised: 0.9,
    bytes: 9e6,
    call: 0.0003,
  },
}
