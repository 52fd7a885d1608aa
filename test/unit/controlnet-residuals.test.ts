import fc from 'fast-check'
import { expect, test } from 'vitest'
import { constant, freeze, mul, type Tensor } from '../../src/declare/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float } from '../../src/graph/types.ts'
import { addedResiduals, scaledResiduals } from '../../src/nn/controlnet.ts'
import type { Residuals } from '../../src/nn/skip-connected.ts'
import { pipe } from '../../src/prelude.ts'
import { right } from './diffusion-fixtures.ts'

/** What ControlNets give a U-Net, scaled and added: a vector space. */

const down = 3
/** Numbers that are added and multiplied without rounding. */
const exact = fc.integer({ min: -64, max: 64 }).map((n) => n / 8)
const residuals = fc.array(exact, { minLength: 2 * (down + 1), maxLength: 2 * (down + 1) }).map((xs): Residuals => {
  const at = (i: number): Tensor => constant(xs.slice(2 * i, 2 * i + 2), float(2))
  return { down: Array.from({ length: down }, (_, i) => at(i)), middle: at(down) }
})
const by = (factor: number) => scaledResiduals((x) => pipe(x, mul(factor)))

const numbersOf = async (r: Residuals): Promise<readonly number[]> => {
  const graph = right(freeze({ ...Object.fromEntries(r.down.map((x, i) => [`d${i}`, x])), middle: r.middle }))
  const executable = right(await reference.compile(graph, { mode: 'sampling' })())
  const values = right(await executable.run({})())
  executable.dispose()
  return [...r.down.map((_, i) => `d${i}`), 'middle'].flatMap((name) => Array.from(values[name]?.data ?? [], Number))
}
const equal = async (a: Residuals, b: Residuals) =>
  expect((await numbersOf(a)).map((x) => x + 0)).toEqual((await numbersOf(b)).map((x) => x + 0))

test('scaled by 1 they are what they were, by two numbers as by their product, and shares add up', async () => {
  await fc.assert(
    fc.asyncProperty(residuals, exact, exact, async (r, a, b) => {
      await equal(by(1)(r), r)
      await equal(by(a)(by(b)(r)), by(a * b)(r))
      await equal(addedResiduals([by(a)(r), by(b)(r)]), by(a + b)(r))
    }),
    { numRuns: 25 },
  )
})

test('several are added place by place, in any order', async () => {
  await fc.assert(
    fc.asyncProperty(residuals, residuals, exact, async (r, s, a) => {
      await equal(addedResiduals([r]), r)
      await equal(addedResiduals([r, s]), addedResiduals([s, r]))
      await equal(by(a)(addedResiduals([r, s])), addedResiduals([by(a)(r), by(a)(s)]))
      const sum = await numbersOf(addedResiduals([r, s]))
      const [one, other] = [await numbersOf(r), await numbersOf(s)]
      expect(sum).toEqual(one.map((x, i) => x + (other[i] ?? 0)))
    }),
    { numRuns: 25 },
  )
})

test('places are counted from the finest to the middle', () => {
  const seen: number[] = []
  const zero = constant([0], float(1))
  scaledResiduals((x, place) => {
    seen.push(place)
    return x
  })({ down: [zero, zero], middle: zero })
  expect(seen).toEqual([0, 1, 2])
})
