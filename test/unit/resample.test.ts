import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bicubic, enlarged } from '../../src/data/resample.ts'

const plane = (n: number): Float32Array =>
  Float32Array.from({ length: n * n }, (_, i) => {
    const [x, y] = [i % n, Math.floor(i / n)]
    return ((x * 7 + y * 13 + x * y * 5) % 17) / 8 - 1
  })

/** `Image.resize((b, b), Image.BICUBIC)` of PIL 12 on floats. */
const published = [
  [6, 3, [-0.094527, 0.157986, -0.101447, 0.060929, 0.130572, 0.113733, 0.138504, 0.158902, -0.346867]],
  [6, 2, [0.037374, 0.065833, 0.138785, -0.063539]],
] as const

describe('bicubic', () => {
  it.each(published)('%i to %i pixels is what PIL makes', (from, to, expected) => {
    for (const [i, x] of bicubic(plane(from), from, to).entries()) expect(x).toBeCloseTo(expected[i] ?? Number.NaN, 5)
  })
  it('leaves constant planes as they are, and mirrors what is mirrored', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), (from, to) => {
        for (const x of bicubic(new Float32Array(2 * from * from).fill(0.5), from, to)) expect(x).toBeCloseTo(0.5, 6)
        const mirrored = (p: Float32Array, n: number): Float32Array =>
          p.map((_, i) => p[i - (i % n) + (n - 1 - (i % n))] ?? 0)
        const [there, back] = [
          mirrored(bicubic(plane(from), from, to), to),
          bicubic(mirrored(plane(from), from), from, to),
        ]
        for (const [i, x] of there.entries()) expect(x).toBeCloseTo(back[i] ?? Number.NaN, 5)
      }),
    )
  })
  it('works on each plane by itself', () => {
    const [a, b] = [plane(6), plane(6).map((x) => -2 * x)]
    const both = new Float32Array(72)
    both.set(a)
    both.set(b, 36)
    expect([...bicubic(both, 6, 4)]).toEqual([...bicubic(a, 6, 4), ...bicubic(b, 6, 4)])
  })
})

it('enlarged repeats each pixel', () => {
  expect([...enlarged(Float32Array.of(1, 2, 3, 4), 2, 4)]).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
})
