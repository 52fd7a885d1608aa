/**
 * A source of random bits that is a pure function: a counter (a non-negative integer) to a uniform 32-bit unsigned
 * integer. Different counters give independent bits.
 */
export type Random = (counter: number) => number

/**
 * A uniformly random order of 0..n-1 (Durstenfeld's shuffle; Knuth, TAOCP vol. 2, 3.4.2 P), from the counters
 * `start` to `start + n - 1`.
 */
export const permutation = (n: number, random: Random, start = 0): Uint32Array => {
  const order = Uint32Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor((random(start + i) / 2 ** 32) * (i + 1))
    const [a = 0, b = 0] = [order[i], order[j]]
    order[i] = b
    order[j] = a
  }
  return order
}

/** The order in which epoch `epoch` visits a dataset's n pictures: each once. */
export const epochOrder = (n: number, epoch: number, random: Random): Uint32Array => permutation(n, random, epoch * n)

/**
 * The indices of batch `step` (from 0), a pure function of `random` and `step`, so that a resumed run needs no state.
 * The epochs' orders follow each other without a break: every picture comes once an epoch, and a batch that reaches an
 * epoch's end goes on in the next.
 *
 * ```ts
 * const batch = batchesOf(dataset.n, 32, random)
 * const pictures = gather(dataset, batch(step))
 * ```
 */
export const batchesOf = (n: number, size: number, random: Random): ((step: number) => Uint32Array) => {
  let known: { readonly epoch: number; readonly order: Uint32Array } = { epoch: 0, order: epochOrder(n, 0, random) }
  const orderOf = (epoch: number): Uint32Array => {
    if (known.epoch !== epoch) known = { epoch, order: epochOrder(n, epoch, random) }
    return known.order
  }
  return (step) =>
    Uint32Array.from({ length: size }, (_, i) => {
      const position = step * size + i
      return orderOf(Math.floor(position / n))[position % n] ?? 0
    })
}
