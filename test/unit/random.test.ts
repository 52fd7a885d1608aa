import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normalOfWord } from '../../src/distributions/normal-quantile.ts'
import {
  bits,
  drawKey,
  fillNormal,
  fillUniform,
  fnv1a,
  fold,
  key,
  noise,
  noiseBatch,
  permutation,
  threefry2x32,
  uniformInt,
} from '../../src/distributions/random.ts'

const count = 200_000

/** The standard normal distribution function at x <= 0: series near 0, Laplace's continued fraction in the tail. */
const distribution = (x: number): number => {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)
  if (x < -1) {
    let fraction = 0
    for (let n = 500; n >= 1; n--) fraction = n / (-x + fraction)
    return density / (-x + fraction)
  }
  let term = x
  let sum = x
  for (let n = 3; Math.abs(term) > 1e-18 * Math.abs(sum); n += 2) {
    term *= (x * x) / n
    sum += term
  }
  return 0.5 + density * sum
}

const normals = (): Float64Array => {
  const out = new Float64Array(count)
  fillNormal(key(2024), out)
  return out
}

const mean = (xs: Float64Array, f: (x: number) => number): number => xs.reduce((sum, x) => sum + f(x), 0) / xs.length

/** Kolmogorov and Smirnov's distance of a sample from a distribution function, times the root of its size. */
const kolmogorovSmirnov = (xs: Float64Array, cdf: (x: number) => number): number =>
  Math.sqrt(xs.length) *
  xs.toSorted().reduce((worst, x, i) => Math.max(worst, cdf(x) - i / xs.length, (i + 1) / xs.length - cdf(x)), 0)

describe('Threefry-2x32-20', () => {
  test.each([
    { counter: [0, 0], under: [0, 0], expected: [0x6b200159, 0x99ba4efe] },
    { counter: [0xffffffff, 0xffffffff], under: [0xffffffff, 0xffffffff], expected: [0x1cb996fc, 0xbb002be7] },
    { counter: [0x243f6a88, 0x85a308d3], under: [0x13198a2e, 0x03707344], expected: [0xc4923a9c, 0x483df7a0] },
  ] as const)('Random123 known answer $expected', ({ counter, under, expected }) => {
    expect(threefry2x32(under, counter)).toEqual(expected)
  })

  test('bits counts over 53 bits', () => {
    expect(bits([3, 4], 2 ** 32 + 5)).toEqual(threefry2x32([3, 4], [5, 1]))
  })
})

describe('keys', () => {
  test('FNV-1a of the published vector', () => {
    expect([fnv1a(''), fnv1a('foobar'), fnv1a('demo:conv.weight')]).toEqual([2166136261, 0xbf9cf968, 4205916996])
  })

  test('seeds, folds of numbers and of strings are all distinct', () => {
    const root = key(7)
    const keys = [
      ...[0, 1, 2, 2 ** 32, 2 ** 53 - 1].flatMap((n) => [key(n), fold(root, n), bits(root, n)]),
      ...['', '0', '1', 'eps', 'é'].map((s) => fold(root, s)),
    ]
    expect(new Set(keys.map(String)).size).toBe(keys.length)
  })

  test.each([-1, 0.5, 2 ** 53, Number.NaN])('%s is no seed', (seed) => {
    expect(() => key(seed)).toThrow(RangeError)
  })
})

describe('normals', () => {
  test('the quantile is the inverse of the distribution function over all words', () => {
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: 0, max: 2 ** 31 - 1 }), fc.integer({ min: 0, max: 4000 })), (w) => {
        const p = (w + 0.5) / 2 ** 32
        expect(Math.abs(distribution(normalOfWord(w)) / p - 1)).toBeLessThan(3e-14)
        expect(normalOfWord(2 ** 32 - 1 - w)).toBe(-normalOfWord(w))
      }),
      { numRuns: 3000 },
    )
  })

  test('the quantile rises', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 2 }), (w) => normalOfWord(w) < normalOfWord(w + 1)),
      { numRuns: 2000 },
    )
  })

  test('moments', () => {
    const xs = normals()
    const within = 5 / Math.sqrt(count)
    expect(Math.abs(mean(xs, (x) => x))).toBeLessThan(within)
    expect(Math.abs(mean(xs, (x) => x ** 2) - 1)).toBeLessThan(within * Math.sqrt(2))
    expect(Math.abs(mean(xs, (x) => x ** 3))).toBeLessThan(within * Math.sqrt(15))
    expect(Math.abs(mean(xs, (x) => x ** 4) - 3)).toBeLessThan(within * Math.sqrt(96))
    const paired = xs.subarray(1).reduce((sum, x, i) => sum + x * (xs[i] ?? 0), 0) / (count - 1)
    expect(Math.abs(paired)).toBeLessThan(within)
  })

  test('Kolmogorov-Smirnov', () => {
    const cdf = (x: number) => (x <= 0 ? distribution(x) : 1 - distribution(-x))
    expect(kolmogorovSmirnov(normals(), cdf)).toBeLessThan(1.63)
  })

  test('single precision is double precision rounded', () => {
    const single = new Float32Array(999)
    const double = new Float64Array(999)
    fillNormal(key(5), single)
    fillNormal(key(5), double)
    expect(single).toEqual(Float32Array.from(double))
  })

  test('the numbers of this generator never change', () => {
    expect([...noise(42, { step: 3, name: 'eps', sample: 11 }, [4])]).toEqual([
      -1.23493230342865, -0.375689834356308, 0.6704069375991821, -1.0274626016616821,
    ])
  })

  test('not one bit of 200,000 double-precision normals depends on the machine', () => {
    expect(createHash('sha256').update(new Uint8Array(normals().buffer)).digest('hex')).toBe(
      'ab9c59c388479afa39c56b5ac94e546bf245661249c5afd13e8c5f2391aeb6d1',
    )
  })
})

describe('uniforms', () => {
  test('stay inside (0, 1) and are flat', () => {
    const out = new Float64Array(count)
    fillUniform(key(1), out)
    expect(kolmogorovSmirnov(out, (x) => x)).toBeLessThan(1.63)
    expect(out.every((x) => x > 0 && x < 1 && Math.fround(x) === x)).toBe(true)
  })

  test('integers are flat (chi-square) and below n', () => {
    const n = 10
    const tally = new Float64Array(n)
    for (const i of uniformInt(key(9), n, count)) tally[i] = (tally[i] ?? 0) + 1
    const chiSquare = tally.reduce((sum, c) => sum + (c - count / n) ** 2 / (count / n), 0)
    expect(chiSquare).toBeLessThan(27.9)
    expect(() => uniformInt(key(9), 0, 1)).toThrow(RangeError)
  })

  test('integers of a range that words do not divide lose their bias', () => {
    const third = uniformInt(key(3), 3 * 2 ** 30, count).filter((i) => i < 2 ** 30).length / count
    expect(Math.abs(third - 1 / 3)).toBeLessThan(5 * Math.sqrt(2 / 9 / count))
  })

  test('a permutation holds every number once, and all orders are equally likely', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 200 }), (seed, n) => {
        expect([...permutation(key(seed), n)].sort((a, b) => a - b)).toEqual([...Array(n).keys()])
      }),
    )
    const tally = new Map<string, number>()
    for (let i = 0; i < 6000; i++) {
      const order = permutation(key(i), 3).join()
      tally.set(order, (tally.get(order) ?? 0) + 1)
    }
    expect(tally.size).toBe(6)
    expect([...tally.values()].reduce((sum, c) => sum + (c - 1000) ** 2 / 1000, 0)).toBeLessThan(20.5)
  })
})

describe('streams', () => {
  test('any part of a stream can be drawn alone', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(50), fc.nat(50), (seed, offset, length) => {
        const whole = new Float32Array(offset + length)
        const part = new Float32Array(length)
        fillNormal(key(seed), whole)
        fillNormal(key(seed), part, offset)
        expect(part).toEqual(whole.subarray(offset))
      }),
    )
  })

  test('any batch split and order gives a sample the same noise', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(1000), fc.uniqueArray(fc.nat(10_000), { maxLength: 6 }), (seed, step, samples) => {
        const shape = [2, 3]
        const batch = noiseBatch(seed, step, 'z', samples, shape)
        samples.forEach((sample, i) => {
          const alone = noise(seed, { step, name: 'z', sample }, shape)
          expect(batch.subarray(6 * i, 6 * i + 6)).toEqual(alone)
        })
      }),
    )
  })

  test('step, name, sample and seed each change the key', () => {
    const base = { step: 1, name: 'a', sample: 2 }
    const keys = [
      drawKey(0, base),
      drawKey(1, base),
      drawKey(0, { ...base, step: 2 }),
      drawKey(0, { ...base, name: 'b' }),
      drawKey(0, { ...base, sample: 1 }),
    ]
    expect(new Set(keys.map(String)).size).toBe(keys.length)
  })
})
