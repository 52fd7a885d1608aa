import type { Phased } from '../staging.ts'
import { hasIsa } from './isa.ts'

/**
 * How long a plan takes. Measured with oneDNN 3.2: of processors with AVX2 on one thread of a Zen 3 while others worked on it, of AVX-512 on a
 * quiet Emerald Rapids: docs/decisions/0017.
 */
export interface Pace {
  /** Floating-point operations a millisecond and thread of products and convolutions, and of gradients of weights. */
  readonly flops: number
  readonly weightGradientFlops: number
  /** Bytes a millisecond that a loop or a reordering goes through. */
  readonly bytes: number
  /** Operations a millisecond and thread of a loop's arithmetic, 4 elements each. */
  readonly steps: number
  /** Milliseconds to call a primitive or a loop. */
  readonly call: number
}

/** Where minimal filtering is faster: channels of the narrower and of the wider side from which on it is, and up to which, and tiles. */
export interface Tiled {
  readonly narrow: number
  readonly wide: number
  readonly widest?: number
  readonly tiles: number
}
/** Where one way to compute something becomes better than another; laws run with others. */
export interface Costs {
  /** Convolutions of enlarged maps by phases, when sampling: docs/decisions/0018. */
  readonly phased: Phased
  /** It is where any of these says so: docs/decisions/0017, "Minimal filtering". */
  readonly minimal: { readonly [K in 'conv2d' | 'convInputGrad' | 'convWeightGrad']: readonly Tiled[] }
  /** Multiplications of a convolution over those by minimal filtering: (2 * 3 / 4)^2 of each. */
  readonly minimalGain: number
  /**
   * How many times faster products in half precision are than in float32: by matrix units ONEDNN.md has 3,000 against 400 GFLOP/s; without
   * them they are slower. Arrays lie as 2 bytes where that is more than 1.
   */
  readonly half: { readonly matrixUnits: number; readonly vectors: number; readonly stored: 'where faster' | 'always' }
  /** Bytes of tiles that a thread makes before it multiplies them, up to which they stay in its caches. */
  readonly tiledBytes: number
  /** What is worth two threads' waiting for each other: multiplications and additions of a product, operations of a loop. */
  readonly worthCutting: { readonly flops: number; readonly operations: number }
  /** Names of the library's implementations that are right and not meant to be fast: loops of ours take their place. */
  readonly refused: RegExp
  /** What is expected of the machine: it says how long a plan takes, and chooses nothing. */
  readonly pace: Pace
}
export const measured: Costs = {
  phased: { channels: 16, products: 0.6, weights: 4_000_000 },
  minimal: {
    conv2d: [
      { narrow: 32, wide: 32, tiles: 64 },
      { narrow: 64, wide: 64, widest: 128, tiles: 32 },
    ],
    convInputGrad: [
      { narrow: 32, wide: 32, tiles: 64 },
      { narrow: 64, wide: 64, tiles: 32 },
    ],
    convWeightGrad: [
      { narrow: 16, wide: 16, tiles: 64 },
      { narrow: 64, wide: 64, tiles: 32 },
    ],
  },
  minimalGain: 2.25,
  half: { matrixUnits: 7.5, vectors: 0.9, stored: 'where faster' },
  tiledBytes: 1_200_000,
  worthCutting: { flops: 1e6, operations: 32_768 },
  refused: /^(ref|simple)/,
  pace: { flops: 6.3e7, weightGradientFlops: 3.5e7, bytes: 8e6, steps: 1.6e6, call: 0.002 },
}

/**
 * Of AVX-512, whose products are twice as fast while loops of WebAssembly are not: minimal filtering begins with more channels. Measured on
 * two cores of an Emerald Rapids without matrix units: docs/decisions/0017.
 */
export const measuredOfAvx512: Costs = {
  ...measured,
  minimal: {
    conv2d: [
      { narrow: 64, wide: 64, tiles: 64 },
      // Slower by 0.03 ms a convolution, for sums that are nearer to what is exact.
      { narrow: 64, wide: 64, widest: 128, tiles: 32 },
    ],
    convInputGrad: [
      { narrow: 64, wide: 64, tiles: 64 },
      { narrow: 256, wide: 256, tiles: 16 },
    ],
    convWeightGrad: [
      { narrow: 32, wide: 64, tiles: 64 },
      { narrow: 64, wide: 64, tiles: 32 },
      { narrow: 256, wide: 256, tiles: 16 },
    ],
  },
  half: { ...measured.half, vectors: 0.5 },
  pace: { flops: 1.5e8, weightGradientFlops: 1.5e8, bytes: 2.3e7, steps: 4.6e6, call: 0.002 },
}
export const costsFor = ({ isa }: { readonly isa: number }): Costs =>
  hasIsa(isa, 'avx512') ? measuredOfAvx512 : measured

/** Pieces of a long primitive: as many for 1 thread as for 2, so that both give the same numbers to the bit. */
export const piecesFor = (threads: number): number => Math.max(2, threads)
