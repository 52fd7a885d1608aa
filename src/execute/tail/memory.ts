import { registerBytes } from './kernel.ts'
import type { Loop } from './split.ts'

export const pageBytes = 65_536
/** Bytes of an array of so many numbers, up to the next register. */
export const padded = (length: number): number => Math.ceil((length * 4) / registerBytes) * registerBytes

/** What WebAssembly can address, and the memory that loops take at most: with every output beside its leaf. */
export const addressable = 2 ** 32 - pageBytes
export const tailBytes = (loops: readonly Loop[]): number =>
  loops.reduce(
    (sum, l) =>
      sum +
      (l.arrays.length + 2 * l.outputs.length) * padded(l.length) +
      (l.scalars.length + l.gives.length) * registerBytes,
    0,
  )
