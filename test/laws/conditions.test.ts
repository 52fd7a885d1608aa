import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { add, cast, freeze, input, mean, mul, reshape, type Tensor } from '../../src/declare/index.ts'
import { type Denoiser, denoiser, guideTogether } from '../../src/diffusion/index.ts'
import { floats, type Value, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import {
  type Asked,
  type Conditioner,
  type Conditioning,
  conditionerOf,
  conditioning,
  type Space,
  type Told,
} from '../../src/experiment/conditioning.ts'
import { feedTypes, type Graph, parameters } from '../../src/graph/graph.ts'
import { float, size } from '../../src/graph/types.ts'
import { conv2d } from '../../src/nn/layers.ts'
import { pipe } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { initialParameters } from '../../src/train/state.ts'
import { right } from '../arbitrary/run.ts'

/**
 * What holds of every kind of condition in the table. A kind that is added to it must be declared here once, which the compiler asks
 * for, and has all of these laws.
 */

type Kind = Conditioning['kind']
const clip = { vocabulary: 12, width: 8, layers: 1, heads: 2, positions: 5 }
const declared: { readonly [K in Exclude<Kind, 'hybrid'>]: object } = {
  none: {},
  class: { dropout: 0.25 },
  text: { dropout: 0.25, vocabulary: 128, positions: 5, width: 8, layers: 1, heads: 2 },
  vector: { dropout: 0.25, width: 3 },
  boxes: { dropout: 0.25, classes: ['a', 'b'], objects: 2, vocabulary: 64, width: 8, layers: 1 },
  'frozen-text': {
    ...{ from: 'a model', dropout: 0.25, sizes: { dim: 4 } },
    encoders: [
      {
        encoder: { kind: 'clip', config: { ...clip, projection: 6 } },
        ...{ pooled: true, tokens: { size: 12, positions: 5, start: 10, end: 11, pad: 11 } },
      },
      {
        encoder: {
          kind: 't5',
          config: { vocabulary: 12, width: 4, layers: 1, heads: 2, headChannels: 2, mlpWidth: 4 },
        },
        tokens: { size: 12, positions: 5, start: null, end: 1, pad: 0 },
      },
    ],
  },
  'super-resolution': { factor: 2 },
  inpainting: {},
  'label-map': { path: 'maps', labels: 3 },
}
const spaces: Readonly<Record<string, Space>> = {
  pictures: { latent: [3, 8, 8], picture: [3, 8, 8], classes: 4 },
  latents: {
    ...{ latent: [2, 4, 4], picture: [3, 8, 8], classes: 4 },
    encode: conv2d('encoder', { out: 2, kernel: 2, stride: 2 }),
  },
}
const made = (fields: object, space: Space): Conditioner => conditionerOf(right(decode(conditioning)(fields)), space)
const isBeside = ([kind, fields]: readonly [string, object]): boolean =>
  made({ kind, ...fields }, spaces.pictures ?? expect.unreachable()).channels > 0

const plain = Object.entries(declared)
const told = plain.filter((row) => !isBeside(row) && row[0] !== 'none')
const hybrids = told.flatMap(([kind, fields]) =>
  plain
    .filter(isBeside)
    .map(([other, more]): readonly [string, object] => [
      `${kind} and ${other}`,
      { kind: 'hybrid', told: { kind, ...fields }, beside: { kind: other, ...more } },
    ]),
)
const rows = [...plain.map(([kind, fields]) => [kind, { kind, ...fields }] as const), ...hybrids].flatMap(
  ([name, fields]) => Object.entries(spaces).map(([where, space]) => ({ name, where, of: made(fields, space), space })),
)

const batch = 2
const numbers = (n: number): fc.Arbitrary<Float32Array> =>
  fc
    .array(fc.integer({ min: -64, max: 64 }), { minLength: n, maxLength: n })
    .map((all) => Float32Array.from(all, (x) => x / 64))
const naturals = (n: number, below: number): fc.Arbitrary<Int32Array> =>
  fc.array(fc.nat(below - 1), { minLength: n, maxLength: n }).map((all) => Int32Array.from(all))

/** What data or a person say, as much of it as a condition is told. */
const askedOf = ({ pictures, text, known, classes }: Conditioner, { picture }: Space): fc.Arbitrary<Asked> =>
  fc
    .record({
      labels: naturals(batch, Math.max(1, (classes ?? 2) - 1)),
      negative: fc.nat(2),
      pixels: numbers(batch * size(picture)),
      maps: naturals((batch * size(picture)) / 3, pictures?.maps?.labels ?? 1),
      tokens: naturals(batch * (text?.positions ?? 0), 12),
      away: naturals(text?.positions ?? 0, 12),
      vector: numbers(known?.width ?? 0),
      corner: fc.nat(3),
    })
    .map(({ labels, negative, pixels, maps, tokens, away, vector, corner }) => {
      const about = { vector: [...vector], boxes: [{ box: [0, 0.25 * corner, 0.5, 1] as const, class: 'b' }] }
      const one = known && right(known.of(about, 'a picture'))
      return {
        labels: [...labels],
        ...(pictures === undefined
          ? {}
          : {
              pictures: pictures.of(
                { pictures: pixels, maps: Float32Array.from(maps) },
                () => (i) => (i * 7919) % 65536,
              ),
            }),
        ...(text === undefined ? {} : { tokens }),
        ...(one === undefined ? {} : { known: Float32Array.from([...one, ...one]) }),
        negative: text === undefined ? { label: negative } : { tokens: away },
      }
    })

/** Leaves of a graph that are fed, without what is chance or learnt. */
const leavesOf = (graph: Graph) => {
  const learnt = new Set(parameters(graph).map(({ name }) => name))
  return Object.entries(feedTypes(graph)).filter(([name]) => !learnt.has(name) && !name.endsWith('_dropout'))
}
/** All chances are as much: below every rate, or above. */
const chances = (graph: Graph, chance: number): Values =>
  Object.fromEntries(
    Object.entries(feedTypes(graph)).flatMap(([name, { shape }]) =>
      name.endsWith('_dropout') ? [[name, floats(shape, new Float64Array(size(shape)).fill(chance))]] : [],
    ),
  )
const frozen = (of: Readonly<Record<string, Tensor>>): Graph => right(freeze(of, { sharing: 'by name' }))
const computed = async (graph: Graph, feeds: Values, chance = 0.9): Promise<Values> => {
  const all = { ...initialParameters(graph, 1), ...feeds, ...chances(graph, chance) }
  const executable = right(await reference.compile(graph, { mode: 'training' })())
  const wanted = Object.keys(feedTypes(graph)).flatMap((name) =>
    all[name] === undefined ? [] : [[name, all[name]] as const],
  )
  return right(await executable.run(Object.fromEntries(wanted))())
}
const tensors = (t: Told): Readonly<Record<string, Tensor>> =>
  Object.fromEntries(Object.entries(t).flatMap(([name, x]) => (x === undefined ? [] : [[name, x]])))
/** What is fed, and what is computed of it once. */
const fedBy = async ({ ahead, feeds }: Conditioner, asked: Asked): Promise<Values> => {
  const own = { ...feeds(asked), scale_factor: floats([], Float32Array.of(1)) }
  return ahead === undefined ? own : { ...own, ...(await computed(frozen(ahead(batch)), own)) }
}
const same = (a: Values, b: Values): void => {
  expect(Object.keys(a).toSorted()).toEqual(Object.keys(b).toSorted())
  for (const [name, { data }] of Object.entries(a))
    expect(Array.from(data), name).toEqual(Array.from(b[name]?.data ?? []))
}
const holds = (row: (typeof rows)[number], law: (feeds: Values, asked: Asked) => Promise<void>) =>
  fc.assert(
    fc.asyncProperty(askedOf(row.of, row.space), async (asked) => law(await fedBy(row.of, asked), asked)),
    { numRuns: 3 },
  )

/** Says of x and of all that is told as little as tells it apart. */
const network = (t: Told): Denoiser =>
  denoiser('eps', (x) =>
    Object.values(tensors(t)).reduce((sum, y) => {
      const n = y.shape[0] ?? 1
      const each = pipe(y, cast('float32'), reshape(n, size(y.shape.slice(1))), mean({ axes: [1] }), reshape(n, 1))
      return pipe(sum, add(pipe(each, mul(sum))), add(each))
    }, x),
  )
const guidedAt = (scale: number, conditional: Told, unconditional: Told): Tensor =>
  guideTogether(scale)((c: Readonly<Record<string, Tensor>>) => network(c), {
    conditional: tensors(conditional),
    unconditional: tensors(unconditional),
  })(input('x', float(batch, 3)), input('t', float(batch)))
const x: Values = {
  x: floats([batch, 3], Float32Array.of(1, -2, 3, 0.5, -0.25, 4)),
  t: floats([batch], new Float32Array(2)),
}
const near = (a: Value | undefined, b: Value | undefined): void => {
  for (const [i, value] of Array.from(a?.data ?? [Number.NaN]).entries())
    expect(Math.abs(value - Number(b?.data[i]))).toBeLessThan(1e-9 * (1 + Math.abs(value)))
}

/** What leads away where nothing is asked to: no condition. */
const awayFrom =
  ({ ahead, feeds }: Conditioner) =>
  async (fed: Values): Promise<Values> => {
    const none = Object.entries(feeds({ labels: [0, 0] })).filter(([name]) => name.startsWith('away'))
    return ahead === undefined || none.length === 0
      ? {}
      : computed(frozen(ahead(batch)), { ...fed, ...Object.fromEntries(none) })
  }

describe.each(rows)('$name, told beside $where', (row) => {
  const { given, walked = given, trained, nothing, away, channels, context, vector, classes } = row.of
  const awayFromNothing = awayFrom(row.of)

  it('is fed leaves of the types that are declared', () =>
    holds(row, async (feeds) => {
      for (const graph of [given, walked, trained, ...(nothing ? [nothing] : []), ...(away ? [away] : [])].flatMap(
        (of) => {
          const all = tensors(of(batch))
          return Object.keys(all).length === 0 ? [] : frozen(all)
        },
      ))
        for (const [name, { shape, dtype }] of leavesOf(graph))
          expect([name, feeds[name]?.shape, feeds[name]?.dtype]).toEqual([name, shape, dtype])
    }))

  it('is as wide as it says', () => {
    const { y, context: states, beside } = walked(batch)
    expect(beside?.shape[1] ?? 0).toBe(channels)
    expect(states?.shape[2] ?? null).toBe(context)
    expect(y?.shape[1]).toBe(vector)
    expect((y?.type.dtype === 'int32' && y.shape.length === 1) || classes === null).toBe(true)
  })

  it('is what is known where it is not left out, and nothing where it is', () =>
    holds(row, async (feeds) => {
      const [own, learnt] = [tensors(given(batch)), tensors(trained(batch))]
      if (Object.keys(own).length === 0) return
      same(await computed(frozen(learnt), feeds, 0.9), await computed(frozen(own), feeds))
      const none = nothing === undefined ? own : { ...own, ...tensors(nothing(batch)) }
      const untold = { ...feeds, ...(await awayFromNothing(feeds)) }
      same(await computed(frozen(learnt), untold, 0), await computed(frozen(none), untold))
    }))

  it('guides to itself at 1, and to nothing at 0', () =>
    holds(row, async (feeds) => {
      if (nothing === undefined) return
      const [c, u] = [walked(batch), nothing(batch)]
      const { one, zero, conditional, unconditional } = await computed(
        frozen({
          one: guidedAt(1, c, u),
          zero: guidedAt(0, c, u),
          conditional: network(c)(input('x', float(batch, 3)), input('t', float(batch))),
          unconditional: network(u)(input('x', float(batch, 3)), input('t', float(batch))),
        }),
        { ...feeds, ...x },
      )
      near(one, conditional)
      near(zero, unconditional)
    }))
})

it('every kind of the table is here', () => {
  expect(conditioning.json.oneOf).toHaveLength(plain.length + 1)
})
