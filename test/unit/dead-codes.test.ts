import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fold, key } from '../../src/distributions/random.ts'
import { showErrors } from '../../src/error.ts'
import { floats } from '../../src/execute/executor.ts'
import { restartDeadCodes } from '../../src/optimizers/index.ts'
import { E } from '../../src/prelude.ts'

const [entries, dim] = [6, 3]
const codebook = floats(
  [entries, dim],
  Float32Array.from({ length: entries * dim }, (_, i) => 100 + i),
)
const latentsOf = (n: number, h: number, w: number) =>
  floats(
    [n, dim, h, w],
    Float32Array.from({ length: n * dim * h * w }, (_, i) => i),
  )
/** The vectors at each position of [n, dim, h, w], as strings. */
const vectors = (n: number, plane: number): readonly string[] =>
  Array.from({ length: n * plane }, (_, p) =>
    Array.from({ length: dim }, (_, c) => (Math.floor(p / plane) * dim + c) * plane + (p % plane)).join(),
  )
const rows = (data: ArrayLike<number | bigint>): readonly string[] =>
  Array.from({ length: entries }, (_, k) =>
    Array.from(data, Number)
      .slice(k * dim, (k + 1) * dim)
      .join(),
  )

describe('dead codes', () => {
  it('law: go where latents are, each to another as far as there are any; living codes keep their bits', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 4 }), { minLength: entries, maxLength: entries }),
        fc.record({ n: fc.integer({ min: 1, max: 3 }), h: fc.integer({ min: 1, max: 2 }) }),
        fc.nat(),
        (usage, { n, h }, seed) => {
          const latents = latentsOf(n, h, 1)
          const restart = () =>
            restartDeadCodes({ below: 2 })(codebook, floats([entries], Float32Array.from(usage)), latents, key(seed))
          const result = restart()
          if (E.isLeft(result)) throw new Error(showErrors(result.left))
          const { codes, codebook: after } = result.right
          expect(restart()).toEqual(result)
          expect(codes).toEqual(usage.flatMap((used, k) => (used < 2 ? [k] : [])))
          const [before, now] = [rows(codebook.data), rows(after.data)]
          const living = now.filter((_, k) => !codes.includes(k))
          expect(living).toEqual(before.filter((_, k) => !codes.includes(k)))
          const moved = now.filter((_, k) => codes.includes(k))
          expect(moved.every((v) => vectors(n, h).includes(v))).toBe(true)
          expect(new Set(moved).size).toBe(Math.min(codes.length, n * h))
        },
      ),
    )
    expect(rows(codebook.data)[0]).toBe('100,101,102')
  })

  it('go elsewhere under another key', () => {
    const none = floats([entries], new Float32Array(entries))
    const under = (step: number) =>
      restartDeadCodes({ below: 1 })(codebook, none, latentsOf(4, 3, 3), fold(key(1), step))
    expect(under(1)).not.toEqual(under(2))
  })

  it('are refused where arrays do not fit', () => {
    const used = floats([entries], new Float32Array(entries))
    const at = (...args: Parameters<ReturnType<typeof restartDeadCodes>>) => {
      const result = restartDeadCodes({ below: 1 })(...args)
      return E.isLeft(result) ? result.left[0].at : 'fits'
    }
    expect(at(codebook, used, latentsOf(1, 2, 2), key(0))).toBe('fits')
    expect(at(used, used, latentsOf(1, 2, 2), key(0))).toBe('codebook')
    expect(at(codebook, codebook, latentsOf(1, 2, 2), key(0))).toBe('usage')
    expect(at(codebook, used, codebook, key(0))).toBe('latents')
    expect(at(codebook, used, latentsOf(1, 0, 2), key(0))).toBe('latents')
  })
})
