import fc from 'fast-check'
import type { Shape } from '../../src/graph/types.ts'

export const extent = fc.integer({ min: 1, max: 3 })
export const shapeOf = (minRank: number, maxRank = 3): fc.Arbitrary<Shape> =>
  fc.array(extent, { minLength: minRank, maxLength: maxRank })
export const axisOf = (s: Shape): fc.Arbitrary<number> => fc.integer({ min: 0, max: s.length - 1 })
export const permutationOf = (s: Shape): fc.Arbitrary<readonly number[]> =>
  fc.shuffledSubarray(
    s.map((_, i) => i),
    { minLength: s.length },
  )
/** One draw for each axis. */
export const perAxis = <A>(s: Shape, draw: (d: number) => fc.Arbitrary<A>): fc.Arbitrary<readonly A[]> =>
  s.length === 0 ? fc.constant([]) : fc.tuple(...s.map(draw))
/** A shape that broadcasts to the given one: leading axes left out, others of length 1. */
export const broadcastableTo = (s: Shape): fc.Arbitrary<Shape> =>
  fc
    .tuple(
      fc.integer({ min: 0, max: s.length }),
      perAxis(s, () => fc.boolean()),
    )
    .map(([dropped, flattened]) => s.map((d, i) => (flattened[i] === true ? 1 : d)).slice(dropped))
