import { describe, expect, test } from 'vitest'
import { experimentSchema } from '../../src/experiment/json-schema.ts'
import { about, describedRecord, describedTagged, type JsonSchema, number, withDefault } from '../../src/schema.ts'

const isSchema = (u: unknown): u is JsonSchema => typeof u === 'object' && u !== null && !Array.isArray(u)
const schemas = (u: unknown): readonly JsonSchema[] => (Array.isArray(u) ? u.filter(isSchema) : [])
const fieldsOf = (u: unknown): readonly (readonly [string, JsonSchema])[] =>
  isSchema(u) ? Object.entries(u).flatMap(([k, s]) => (isSchema(s) ? [[k, s] as const] : [])) : []
const alternatives = (s: JsonSchema): readonly JsonSchema[] => [...schemas(s.anyOf), ...schemas(s.oneOf)]

/** Whether a schema admits a value: the keywords that codecs write. */
const admits = (s: JsonSchema, u: unknown): boolean => {
  if ('const' in s) return u === s.const
  if (Array.isArray(s.enum)) return s.enum.includes(u)
  if (Array.isArray(s.anyOf)) return schemas(s.anyOf).some((a) => admits(a, u))
  if (Array.isArray(s.oneOf)) return schemas(s.oneOf).filter((a) => admits(a, u)).length === 1
  const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity, exclusiveMaximum = Infinity } = s
  const bounded = (n: number): boolean =>
    n >= Number(minimum) && n <= Number(maximum) && n > Number(exclusiveMinimum) && n < Number(exclusiveMaximum)
  const counted = (n: number): boolean =>
    n >= Number(s.minItems ?? s.minLength ?? 0) && n <= Number(s.maxItems ?? Infinity)
  if (s.type === 'null') return u === null
  if (s.type === 'number' || s.type === 'integer')
    return typeof u === 'number' && bounded(u) && (s.type === 'number' || Number.isInteger(u))
  if (s.type === 'array')
    return Array.isArray(u) && counted(u.length) && u.every((x) => !isSchema(s.items) || admits(s.items, x))
  if (s.type === 'object') {
    const fields = fieldsOf(s.properties)
    const required: readonly unknown[] = Array.isArray(s.required) ? s.required : []
    return (
      isSchema(u) &&
      required.every((k) => typeof k === 'string' && k in u) &&
      Object.entries(u).every(([k, x]) => fields.some(([name, f]) => name === k && admits(f, x)))
    )
  }
  return s.type === undefined || (s.type === typeof u && (typeof u !== 'string' || counted(u.length)))
}

/** What is missing anywhere in a schema, by its place. */
const missing = (s: JsonSchema, at: string): readonly string[] => [
  ...fieldsOf(s.properties).flatMap(([k, f]) => {
    const here = `${at}/${k}`
    const said = typeof f.description === 'string' && /^.{12,}[.]$/s.test(f.description)
    const examples: readonly unknown[] = Array.isArray(f.examples) ? f.examples : []
    return [
      ...(said ? [] : [`${here}: no description`]),
      ...('const' in f || examples.length === 1 ? [] : [`${here}: no example`]),
      ...examples.flatMap((e) => (admits(f, e) ? [] : [`${here}: ${JSON.stringify(e)} is none`])),
      ...missing(f, here),
    ]
  }),
  ...schemas(s.oneOf).flatMap((b) => (typeof b.description === 'string' ? [] : [`${at}: a kind without description`])),
  ...alternatives(s).flatMap((a) => missing(a, at)),
  ...(isSchema(s.items) ? missing(s.items, `${at}/0`) : []),
]

test('every property of an experiment, and every kind, has a description, and each property an example that it admits', () =>
  expect([...new Set(missing(experimentSchema, ''))]).toEqual([]))

describe('descriptions', () => {
  const share = number({ min: 0, max: 1 })
  test('stand in the schema beside default and example', () => {
    const { json } = describedRecord(
      { a: about('How much of it.', share, 0.5) },
      { b: about('The rest.', withDefault(share, 0)) },
    )
    const bounds = { type: 'number', minimum: 0, maximum: 1 }
    expect(json.properties).toEqual({
      a: { description: 'How much of it.', ...bounds, examples: [0.5] },
      b: { description: 'The rest.', ...bounds, default: 0, examples: [0] },
    })
  })
  test('of kinds stand at the kind and at its word', () => {
    const { json } = describedTagged('kind', { x: about('The one.', describedRecord({})) })
    expect(json).toMatchObject({
      oneOf: [{ description: 'The one.', properties: { kind: { const: 'x', description: 'The one.' } } }],
    })
  })
  test('cannot be left out', () => {
    // @ts-expect-error a field without description
    describedRecord({ a: share })
    // @ts-expect-error a default without description
    describedRecord({}, { a: withDefault(share, 0) })
    // @ts-expect-error a kind without description
    describedTagged('kind', { x: describedRecord({}) })
  })
})
