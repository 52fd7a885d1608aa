import type { Phased } from '../staging.ts'

/**
 * What is expected of a machine: it says how long a plan takes, and chooses nothing. Measured with oneDNN 3.2 on one thread of a processor
 * with AVX2 (Zen 3) while others worked on it: docs/decisions/0017.
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
export const measured: Pace = { flops: 6.3e7, weightGradientFlops: 3.5e7, bytes: 8e6, steps: 1.6e6, call: 0.002 }

/** Convolutions of enlarged maps by phases, when sampling: docs/decisions/0018. */
export const phased: Phased = { channels: 16, products: 0.6, weights: 4_000_000 }

/** What is worth two threads' waiting for each other: multiplications and additions of a product, operations of a loop. */
export const worthCutting = { flops: 1e6, operations: 32_768 } as const
/** Pieces of a long primitive: as many for 1 thread as for 2, so that both give the same numbers to the bit. */
export const piecesFor = (threads: number): number => Math.max(2, threads)
