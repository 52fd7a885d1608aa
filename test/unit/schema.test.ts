import { describe, expect, test } from 'vitest'
import type { Checked } from '../../src/error.ts'
import { E } from '../../src/prelude.ts'
import {
  type Codec,
  decode,
  dictionary,
  didYouMean,
  flag,
  integer,
  list,
  nonEmpty,
  nullable,
  number,
  record,
  tagged,
  text,
  withDefault,
  word,
} from '../../src/schema.ts'

const good = <A>(of: Codec<A>, u: unknown): A => {
  const decoded = decode(of)(u)
  if (E.isLeft(decoded)) throw new Error(JSON.stringify(decoded.left))
  return decoded.right
}
const bad = <A>(of: Codec<A>, u: unknown) => {
  const decoded = decode(of)(u)
  if (E.isRight(decoded)) throw new Error(`accepted ${JSON.stringify(decoded.right)}`)
  return decoded.left
}
const places = <A>(of: Codec<A>, u: unknown): readonly string[] => bad(of, u).map((e) => e.at)

const schedule = tagged('kind', {
  linear: record({ from: number({ min: 0 }), to: number({ max: 1 }) }),
  cosine: record({}, { offset: withDefault(number({ above: 0 }), 0.008) }),
})
const document = record(
  { name: text, schedule, layers: list(integer({ min: 1 }), { min: 1 }) },
  { seed: withDefault(integer(), 7) },
  { note: text },
)
const whole = { name: 'a', schedule: { kind: 'cosine' }, layers: [1, 2] }

describe('records', () => {
  test('defaults are filled in, and what may be absent stays absent', () => {
    expect(good(document, whole)).toEqual({
      name: 'a',
      schedule: { kind: 'cosine', offset: 0.008 },
      layers: [1, 2],
      seed: 7,
    })
    expect(good(document, { ...whole, seed: 1, note: 'n' })).toMatchObject({ seed: 1, note: 'n' })
  })
  test('an unknown key is an error with the nearest known one', () => {
    expect(bad(document, { ...whole, sede: 3 })).toEqual([
      {
        tag: 'config',
        at: '/sede',
        expected: 'one of the keys name, schedule, layers, seed, note',
        got: '"sede"',
        hint: 'did you mean "seed"?',
      },
    ])
    expect(bad(document, { ...whole, unrelated: 3 })[0].hint).toBeUndefined()
  })
  test('every fault is reported, each with its JSON pointer', () => {
    const broken = { nmae: 'a', schedule: { kind: 'linear', from: -1, to: 'x' }, layers: [1, 0, 1.5] }
    expect(places(document, broken)).toEqual([
      '/nmae',
      '/name',
      '/schedule/from',
      '/schedule/to',
      '/layers/1',
      '/layers/2',
    ])
  })
  test('a missing key says so', () => {
    expect(bad(document, { ...whole, name: undefined })[0]).toMatchObject({
      at: '/name',
      expected: 'a string',
      got: 'nothing',
    })
  })
  test('pointers escape ~ and /', () => {
    expect(places(dictionary(flag), { 'a/b~c': 1 })).toEqual(['/a~1b~0c'])
  })
  test('a key that is an empty string has its place', () => {
    expect(places(dictionary(dictionary(flag)), { '': { x: 1 } })).toEqual(['//x'])
  })
  test('the whole document', () => expect(places(document, 3)).toEqual(['/']))
  test('keys that every object inherits are not known', () => {
    expect(places(record({}, {}, { note: text }), JSON.parse('{"constructor": 1, "__proto__": 2}'))).toEqual([
      '/constructor',
      '/__proto__',
    ])
    expect(places(tagged('kind', { a: record({}) }), { kind: 'constructor' })).toEqual(['/kind'])
  })
  test('a dictionary keeps whatever names its keys have', () => {
    const source: unknown = JSON.parse('{"__proto__": true, "toString": false}')
    expect(Object.entries(good(dictionary(flag), source))).toEqual([
      ['__proto__', true],
      ['toString', false],
    ])
  })
})

describe('unions', () => {
  test('errors speak of the chosen branch alone', () => {
    expect(bad(schedule, { kind: 'linear', from: 0, to: 2, offset: 1 })).toMatchObject([
      { at: '/offset', expected: 'one of the keys from, to' },
      { at: '/to', expected: 'a number at most 1', got: '2' },
    ])
  })
  test('a tag that is nearly right', () => {
    expect(bad(schedule, { kind: 'cosin' })).toEqual([
      { tag: 'config', at: '/kind', expected: '"linear" | "cosine"', got: '"cosin"', hint: 'did you mean "cosine"?' },
    ])
    expect(bad(schedule, {})[0]).toMatchObject({ at: '/kind', got: 'nothing' })
    expect(bad(schedule, [])[0].at).toBe('/')
  })
})

describe('scalars', () => {
  test.each<readonly [string, (u: unknown) => Checked<unknown>, readonly unknown[], readonly unknown[]]>([
    ['number', decode(number({ min: 0, max: 1 })), [0, 1, 0.5], [-0.1, 1.1, Number.NaN, '0', null, undefined]],
    ['number below', decode(number({ min: 0, below: 1 })), [0, 0.999], [1, 2, -1]],
    ['number above', decode(number({ above: 0 })), [0.1, 1e300], [0, -1, Infinity]],
    ['integer', decode(integer({ min: -1 })), [-1, 0, 2 ** 53 - 1], [0.5, -2, 2 ** 53, true]],
    ['flag', decode(flag), [true, false], [0, 'true', null]],
    ['word', decode(word(['a', 'b'])), ['a', 'b'], ['c', 0, null]],
    ['nullable', decode(nullable(integer())), [null, 3], [undefined, 'x']],
    ['list', decode(list(integer(), { min: 1, max: 2 })), [[1], [1, 2]], [[], {}, '1', [1, 2, 3]]],
    ['not empty', decode(nonEmpty), ['a'], ['', 1]],
  ])('%s', (_, read, accepted, refused) => {
    for (const u of accepted) expect(read(u)).toEqual(E.right(u))
    for (const u of refused) expect(read(u)).toMatchObject({ left: [{ at: '/' }] })
  })
  test('the tag and the base of errors can be chosen', () => {
    const decoded = decode(document, { tag: 'graph', base: '/model' })({ ...whole, name: 1 })
    expect(E.isLeft(decoded) && decoded.left[0]).toMatchObject({ tag: 'graph', at: '/model/name' })
  })
  test('what is shown of a long value is short', () => {
    expect(
      bad(
        text,
        Array.from({ length: 1000 }, (_, i) => i),
      )[0].got.length,
    ).toBeLessThanOrEqual(120)
  })
  test.each([
    [number({ min: 0, max: 1 }), 'a number in [0, 1]'],
    [number({ above: 0, below: 1 }), 'a number in (0, 1)'],
    [integer({ min: 2, below: 9 }), 'an integer in [2, 9)'],
    [number({ below: 1 }), 'a number below 1'],
    [list(text, { min: 2, max: 2 }), 'a list of 2'],
    [list(text, { max: 3 }), 'a list of 0 to 3'],
  ])('bounds are said: %#', ({ name }, said) => expect(name).toBe(said))
  test('errors of a long list are counted after the tenth', () => {
    const wrong = Array.from({ length: 300 }, () => 'x')
    const errors = bad(record({ codes: list(integer()) }), { codes: wrong })
    expect(errors.map(({ at }) => at)).toEqual(Array.from({ length: 10 }, (_, i) => `/codes/${i}`))
    expect(errors.at(-1)).toMatchObject({ expected: 'an integer', hint: '290 more in this list' })
    expect(bad(list(integer()), wrong.slice(0, 10)).at(-1)).not.toHaveProperty('hint')
  })
  test('numbers that JSON has no words for', () => {
    expect(bad(number(), Number.POSITIVE_INFINITY)[0].got).toBe('Infinity')
    expect(bad(number(), Number.NaN)[0].got).toBe('NaN')
  })
  test('did you mean', () => {
    expect(didYouMean('Lineer', ['linear', 'cosine'])).toBe('did you mean "linear"?')
    expect(didYouMean('something else', ['linear', 'cosine'])).toBeUndefined()
    expect(didYouMean('x', [])).toBeUndefined()
  })
})

test('JSON Schema', () => {
  expect(document.json).toEqual({
    type: 'object',
    properties: {
      name: { type: 'string' },
      schedule: {
        oneOf: [
          {
            type: 'object',
            properties: {
              kind: { const: 'linear' },
              from: { type: 'number', minimum: 0 },
              to: { type: 'number', maximum: 1 },
            },
            required: ['kind', 'from', 'to'],
            additionalProperties: false,
          },
          {
            type: 'object',
            properties: { kind: { const: 'cosine' }, offset: { type: 'number', exclusiveMinimum: 0, default: 0.008 } },
            required: ['kind'],
            additionalProperties: false,
          },
        ],
      },
      layers: { type: 'array', items: { type: 'integer', minimum: 1 }, minItems: 1 },
      seed: { type: 'integer', default: 7 },
      note: { type: 'string' },
    },
    required: ['name', 'schedule', 'layers'],
    additionalProperties: false,
  })
})
