/**
 * A counter-based, splittable generator: Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011; the Random123 library).
 *
 * A stream is a pure function of its key, and a key of the seed and of what was folded into it, so the numbers depend
 * neither on the batch a sample stands in nor on what was drawn before. Every step from bits to normals is 32-bit
 * integer arithmetic or one of the correctly rounded IEEE 754 operations `+ - * /` and square root, never `Math.log` or
 * `Math.cos` (whose last bits each engine may choose), so all machines draw the same bits.
 *
 * ```ts
 * const k = fold(fold(key(42), 'eps'), 7)
 * const eps = new Float32Array(16)
 * fillNormal(k, eps)
 * ```
 */

import { normalOfWord } from './normal-quantile.ts'

/** 64 bits of key: two unsigned 32-bit words. */
export type Key = readonly [number, number]

type Floats = Float32Array | Float64Array

/** Powers are literals: `**` is one of the functions whose last bits an engine may choose. */
const word = 4294967296
const skeinParity = 0x1bd11bda
/** The second counter words of `fold`; those of a stream stay below 2^21, so children and draws never meet. */
const foldedNumber = 0x40000000
const foldedString = 0x80000000

const rotateLeft = (x: number, by: number): number => (x << by) | (x >>> (32 - by))

const threefry = (k0: number, k1: number, c0: number, c1: number, out: Uint32Array): void => {
  let a = k0 | 0
  let b = k1 | 0
  let c = k0 ^ k1 ^ skeinParity
  let x = (c0 + a) | 0
  let y = (c1 + b) | 0
  for (let injection = 1; injection <= 5; injection++) {
    const odd = (injection & 1) === 1
    x = (x + y) | 0
    y = rotateLeft(y, odd ? 13 : 17) ^ x
    x = (x + y) | 0
    y = rotateLeft(y, odd ? 15 : 29) ^ x
    x = (x + y) | 0
    y = rotateLeft(y, odd ? 26 : 16) ^ x
    x = (x + y) | 0
    y = rotateLeft(y, odd ? 6 : 24) ^ x
    const first = a
    a = b
    b = c
    c = first
    x = (x + a) | 0
    y = (y + b + injection) | 0
  }
  out[0] = x
  out[1] = y
}

const safe = (what: string, n: number): number => {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError(`${what} must be an integer in [0, 2^53), got ${n}`)
  return n
}

const low = (n: number): number => n >>> 0
const high = (n: number): number => Math.floor(n / word)

/** The bijection itself: two counter words to two random words, under a key. */
export const threefry2x32 = ([k0, k1]: Key, [c0, c1]: Key): Key => {
  const out = new Uint32Array(2)
  threefry(k0, k1, c0, c1, out)
  const [x = 0, y = 0] = out
  return [x, y]
}

/** The root key of `seed`, an integer in [0, 2^53). Different seeds have different keys. */
export const key = (seed: number): Key => [low(safe('a seed', seed)), high(seed)]

/** The two 32-bit words of a stream at `counter`, an integer in [0, 2^53). */
export const bits = (k: Key, counter: number): Key => threefry2x32(k, [low(safe('a counter', counter)), high(counter)])

/** FNV-1a, 32 bits, over the UTF-8 of `text` (Fowler, Noll and Vo). */
export const fnv1a = (text: string): number =>
  new TextEncoder().encode(text).reduce((h, byte) => Math.imul(h ^ byte, 16777619), 2166136261 | 0) >>> 0

/**
 * The child of `k` named by `data`: an integer in [0, 2^53), or a string, hashed by FNV-1a. Numbers and strings never
 * share a child, nor does a child's key repeat words of its parent's own stream.
 */
export const fold = (k: Key, data: number | string): Key =>
  typeof data === 'string'
    ? threefry2x32(k, [fnv1a(data), foldedString])
    : threefry2x32(k, [low(safe('a folded number', data)), high(data) | foldedNumber])

/** The words of a stream, one by one, from element `offset` on: word `i` is half `i % 2` of counter `floor(i / 2)`. */
const wordsFrom = ([k0, k1]: Key, offset: number): (() => number) => {
  const pair = new Uint32Array(2)
  let at = safe('an offset', offset)
  const refill = (): void => {
    const counter = Math.floor(at / 2)
    threefry(k0, k1, low(counter), high(counter), pair)
  }
  if (at % 2 === 1) refill()
  return () => {
    const half = at % 2
    if (half === 0) refill()
    at++
    return pair[half] ?? 0
  }
}

/**
 * Fills `out` with uniform numbers of the open interval (0, 1): odd multiples of 2^-24, so that they are the same in
 * both precisions, symmetric about 1/2, and safe to take the logarithm of. `out[i]` is element `offset + i` of the
 * stream of `k`; to fill a part of an array give a `subarray`.
 */
export const fillUniform = (k: Key, out: Floats, offset = 0): void => {
  const next = wordsFrom(k, offset)
  for (let i = 0; i < out.length; i++) out[i] = ((next() >>> 9) + 0.5) / 8388608
}

/**
 * Fills `out` with standard normal numbers, one 32-bit word each, through the inverse distribution function. `out[i]`
 * is element `offset + i` of the stream of `k`; a Float32Array gets the rounded values of a Float64Array.
 */
export const fillNormal = (k: Key, out: Floats, offset = 0): void => {
  const next = wordsFrom(k, offset)
  for (let i = 0; i < out.length; i++) out[i] = normalOfWord(next())
}

const wordBelow = (n: number, next: () => number): number => {
  const limit = word - (word % n)
  let w = next()
  while (w >= limit) w = next()
  return w % n
}

/** `count` integers uniform on [0, n), 1 <= n <= 2^32, without bias: words past the last multiple of n are dropped. */
export const uniformInt = (k: Key, n: number, count: number): Uint32Array => {
  if (!Number.isInteger(n) || n < 1 || n > word) throw new RangeError(`n must be an integer in [1, 2^32], got ${n}`)
  const next = wordsFrom(k, 0)
  return new Uint32Array(count).map(() => wordBelow(n, next))
}

/** A uniform permutation of 0, ..., n - 1 (Fisher and Yates, as Durstenfeld does it). */
export const permutation = (k: Key, n: number): Uint32Array => {
  const next = wordsFrom(k, 0)
  const order = new Uint32Array(n).map((_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = wordBelow(i + 1, next)
    const kept = order[i] ?? 0
    order[i] = order[j] ?? 0
    order[j] = kept
  }
  return order
}

/** Where a draw belongs: the training or sampling step, the noise input's name, the sample's own number. */
export interface Draw {
  readonly step: number
  readonly name: string
  readonly sample: number
}

/** The key of one sample's draw: `fold(seed, step, name, sample)` of the design. */
export const drawKey = (seed: number, { step, name, sample }: Draw): Key =>
  fold(fold(fold(key(seed), step), name), sample)

const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1)

/** Standard normal noise of one sample, row-major in `shape`. */
export const noise = (seed: number, draw: Draw, shape: readonly number[]): Float32Array =>
  noiseBatch(seed, draw.step, draw.name, [draw.sample], shape)

/**
 * Standard normal noise of a batch: one sample after the other, each `shapePerSample`, each under its own key, so that
 * any way of splitting or ordering the batch gives each sample the same numbers.
 */
export const noiseBatch = (
  seed: number,
  step: number,
  name: string,
  sampleIndices: readonly number[],
  shapePerSample: readonly number[],
): Float32Array => {
  const size = sizeOf(shapePerSample)
  const out = new Float32Array(sampleIndices.length * size)
  sampleIndices.forEach((sample, i) => {
    fillNormal(drawKey(seed, { step, name, sample }), out.subarray(i * size, (i + 1) * size))
  })
  return out
}
