import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseMetadata } from '../../src/data/metadata.ts'
import { loadShapes } from '../../src/data/shapes.ts'
import { freeze, type Tensor } from '../../src/declare/index.ts'
import { type Checked, showErrors } from '../../src/error.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { type Conditioner, conditionerOf, conditioning } from '../../src/experiment/conditioning.ts'
import { E } from '../../src/prelude.ts'
import { decode } from '../../src/schema.ts'
import { knownOf, knownRules } from '../../src/train/known.ts'
import { initialParameters } from '../../src/train/state.ts'

const right = <A>(c: Checked<A>): A => {
  if (E.isLeft(c)) throw new Error(showErrors(c.left))
  return c.right
}
const made = (fields: object): Conditioner =>
  conditionerOf(right(decode(conditioning)(fields)), { latent: [3, 8, 8], picture: [3, 8, 8], classes: 0 })
const shapes = async () => right(await loadShapes({ size: 16, count: 20 })())

const vector = made({ kind: 'vector', width: 4, dropout: 0.25 })
const boxes = made({
  ...{ kind: 'boxes', classes: ['circle', 'square', 'triangle', 'cross'], dropout: 0.25 },
  ...{ objects: 4, vocabulary: 64, width: 32, layers: 1 },
})
const conditions = [
  ['vector', vector, 'vector_dropout'],
  ['boxes', boxes, 'boxes_dropout'],
] as const

const value = async (of: Tensor | undefined, feeds: Values) => {
  const graph = right(freeze({ y: of ?? expect.unreachable() }))
  const constants = initialParameters(graph, 3)
  const compiled = right(await reference.compile(graph, { mode: 'sampling', constants })())
  return [...(right(await compiled.run(feeds)()).y?.data ?? [])].map(Number)
}
const saidOf = ({ y, context }: { readonly y?: Tensor; readonly context?: Tensor }): Tensor | undefined => y ?? context

describe.each(conditions)('%s as a condition', (_, conditioner, chance) => {
  it('is what the data know, of some pictures left out in training, and then nothing', async () => {
    const data = await shapes()
    const asked = { labels: [0, 0], ...knownOf(conditioner, data)([4, 9]) }
    const feeds = conditioner.feeds(asked)
    const given = await value(saidOf(conditioner.given(2)), feeds)
    const nothing = await value(saidOf(conditioner.nothing?.(2) ?? {}), {})
    const trained = await value(saidOf(conditioner.trained(2)), {
      ...feeds,
      [chance]: floats([2], Float64Array.of(0.2, 0.3)),
    })
    const half = given.length / 2
    expect(trained.slice(0, half)).toEqual(nothing.slice(0, half))
    expect(trained.slice(half)).toEqual(given.slice(half))
    expect(given.slice(0, half)).not.toEqual(given.slice(half))
  })
  it('is asked for of every picture', async () => {
    const data = await shapes()
    expect(knownRules(conditioner, data)).toEqual([])
    const { vector: __, boxes: ___, ...without } = data.about(3)
    const lacking = { n: data.n, about: (i: number) => (i === 3 ? without : data.about(i)) }
    expect(knownRules(conditioner, lacking).map(({ at }) => at)).toEqual(['shapes 4'])
  })
  it('is not learnt to do without where nothing is left out', () => {
    expect(made({ kind: 'vector', width: 4, dropout: 0 }).nothing).toBeUndefined()
  })
})

describe('what is known of generated shapes', () => {
  it('is where they are: outside of all boxes a picture is white', async () => {
    const [size, data] = [16, await shapes()]
    const { pictures } = right(await data.read(Array.from({ length: data.n }, (_, i) => i))())
    fc.assert(
      fc.property(fc.nat(data.n - 1), fc.nat(size * size - 1), (picture, at) => {
        const [x, y] = [at % size, Math.floor(at / size)]
        const known = data.about(picture).boxes ?? []
        expect(known.length).toBe(data.about(picture).vector?.[0])
        const covered = known.some(
          ({ box: [x0 = 0, y0 = 0, x1 = 0, y1 = 0] }) =>
            x + 1 > x0 * size && x < x1 * size && y + 1 > y0 * size && y < y1 * size,
        )
        const grey = [0, 1, 2].map((c) => pictures[(picture * 3 + c) * size * size + at] ?? 0)
        expect(covered || grey.every((v) => v === 1)).toBe(true)
      }),
    )
  })
})

describe('metadata.jsonl', () => {
  const read = (...lines: readonly object[]) =>
    parseMetadata('m', new TextEncoder().encode(lines.map((line) => JSON.stringify(line)).join('\n')))
  const box = { box: [0.1, 0.2, 0.5, 0.9], class: 'cat' }
  it('says numbers and boxes of pictures', () => {
    const { listed, notes } = right(read({ file_name: 'a.png', vector: [1, -2.5], boxes: [box] }))
    expect(listed[0]).toMatchObject({ vector: [1, -2.5], boxes: [box] })
    expect(notes).toEqual([])
  })
  it('is refused by line and member where it says others', () => {
    const places = (line: object) => {
      const found = read({ file_name: 'a.png', ...line })
      return E.isLeft(found) ? found.left.map(({ at }) => at) : []
    }
    expect(places({ vector: ['1'] })).toEqual(['m:1: "vector"/0'])
    expect(places({ boxes: [{ ...box, box: [0, 0, 2, 1] }] })).toEqual(['m:1: "boxes"/0/box/2'])
    expect(places({ boxes: [{ box: [0, 0, 1, 1] }] })).toEqual(['m:1: "boxes"/0/class'])
  })
})
