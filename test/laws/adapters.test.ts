import fc from 'fast-check'
import { expect, test } from 'vitest'
import { adapterFeeds, type LowRank, type LowRanks, merged, scaled, withAdapters } from '../../src/adapters/low-rank.ts'
import { freeze, input, matmul, parameter, reshape } from '../../src/declare/index.ts'
import { floats, ints, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { type Graph, parameters } from '../../src/graph/graph.ts'
import { float, int, type Shape, size } from '../../src/graph/types.ts'
import { conv1d, conv2d, embedding, linear } from '../../src/nn/layers.ts'
import { pipe } from '../../src/prelude.ts'
import { check } from '../arbitrary/check.ts'
import { difference, right, runOn } from '../arbitrary/run.ts'

/** Every way in which a network uses a weight: twice in a row, in products of both kinds, in windows, by rows, as it is. */
const outputs = () => {
  const square4 = linear('twice', { out: 4 })
  const turned = parameter('turned', 'weight', [4, 3], { kind: 'zeros' })
  return {
    linear: pipe(input('x', float(2, 3, 4)), square4, square4),
    turned: pipe(input('x', float(2, 3, 4)), matmul(turned)),
    left: pipe(turned, matmul(input('z', float(3, 2)))),
    window: pipe(
      input('p', float(2, 3, 5, 4)),
      conv2d('conv', { out: 2, kernel: 3, stride: 2, padding: [0, 1, 1, 0] }),
    ),
    point: pipe(
      input('p', float(2, 3, 5, 4)),
      conv2d('point', { out: 2, kernel: 1 }),
      reshape(2, 2, 20),
      conv1d('line', { out: 3 }),
    ),
    rows: pipe(input('i', int(3)), embedding('table', { entries: 5, dim: 4 })),
  }
}
const network: Graph = right(freeze(outputs(), { sharing: 'by name' }))
const weights = parameters(network).filter(({ name }) => name.endsWith('.weight'))

const numbers = (n: number): fc.Arbitrary<Float32Array> =>
  fc
    .array(fc.integer({ min: -64, max: 64 }), { minLength: n, maxLength: n })
    .map((all) => Float32Array.from(all, (x) => x / 32))
const change = (shape: Shape): fc.Arbitrary<LowRank> =>
  fc.tuple(fc.integer({ min: 0, max: 3 }), fc.constantFrom(0, 0.25, -0.7, 1)).chain(([rank, factor]) =>
    fc.record({
      rank: fc.constant(rank),
      factor: fc.constant(factor),
      shape: fc.constant(shape),
      down: numbers(rank * size(shape.slice(1))),
      up: numbers(rank * (shape[0] ?? 1)),
    }),
  )
/** Of some of the weights. */
const adapter: fc.Arbitrary<LowRanks> = fc
  .tuple(...weights.map(({ name, shape }) => fc.option(change(shape).map((c) => [name, c] as const))))
  .map((all) => Object.fromEntries(all.flatMap((entry) => (entry === null ? [] : [entry]))))
const arrays: fc.Arbitrary<Values> = fc
  .tuple(
    ...parameters(network).map(({ name, shape }) =>
      numbers(size(shape)).map((data) => [name, floats(shape, data)] as const),
    ),
  )
  .chain((known) =>
    fc.tuple(numbers(24), numbers(6), numbers(120)).map(([x, z, p]) => ({
      ...Object.fromEntries(known),
      x: floats([2, 3, 4], x),
      z: floats([3, 2], z),
      p: floats([2, 3, 5, 4], p),
      i: ints([3], Int32Array.of(4, 0, 4)),
    })),
  )

const run = runOn(reference)
const adapted = (feeds: Values, ...adapters: readonly LowRanks[]): Promise<Values> =>
  run(withAdapters(adapters.map((changes, i) => ({ name: `a${i}`, changes })))(network), {
    ...feeds,
    ...Object.assign({}, ...adapters.map((changes, i) => adapterFeeds(`a${i}`, changes))),
  })
const mergedFeeds = (feeds: Values, ...adapters: readonly LowRanks[]): Values =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, value]) => [
      name,
      merged(
        value,
        adapters.flatMap((changes) => changes[name] ?? []),
      ),
    ]),
  )
/** Weights are rounded to single precision once they are merged; numbers here grow to some hundreds. */
const rounding = 1e-5

test('merged and unmerged adapters say the same, two of them what their sum says', () =>
  check(
    fc.asyncProperty(arrays, adapter, adapter, async (feeds, a, b) => {
      expect(difference(await adapted(feeds, a), await run(network, mergedFeeds(feeds, a)), rounding)).toBeUndefined()
      const both = await adapted(feeds, a, b)
      expect(difference(both, await adapted(feeds, b, a), rounding)).toBeUndefined()
      expect(difference(both, await run(network, mergedFeeds(feeds, a, b)), rounding)).toBeUndefined()
    }),
    15,
  ))

test('without rank, without factor or at weight 0 the graph and the weights are the same, to the bit', () =>
  check(
    fc.asyncProperty(arrays, adapter, async (feeds, a) => {
      const rankless = Object.fromEntries(
        Object.entries(a).map(([name, c]) => [
          name,
          { ...c, rank: 0, down: new Float32Array(), up: new Float32Array() },
        ]),
      )
      for (const nothing of [scaled(a, 0), rankless, {}]) {
        expect(withAdapters([{ name: 'a', changes: nothing }])(network)).toEqual(network)
        expect(mergedFeeds(feeds, nothing)).toEqual(feeds)
      }
    }),
    10,
  ))

test('an adapter at a weight is the adapter with its factors times the weight', () =>
  check(
    fc.asyncProperty(arrays, adapter, fc.constantFrom(-1, 0.3, 2), async (feeds, a, weight) => {
      const grown = Object.fromEntries(
        Object.entries(a).map(([name, c]) => [name, { ...c, up: Float32Array.from(c.up, (x) => x * weight) }]),
      )
      expect(difference(await adapted(feeds, scaled(a, weight)), await adapted(feeds, grown), rounding)).toBeUndefined()
    }),
    15,
  ))
