import { RNEA } from '../prelude.ts'
import { type Bounds, boundsName, escapePointer, exampleOf, type JsonSchema, lengthsName } from '../schema.ts'

/** The fields of a document, as the JSON Schema of its codec tells of them. */

const isSchema = (u: unknown): u is JsonSchema => typeof u === 'object' && u !== null && !Array.isArray(u)
const schemas = (u: unknown): readonly JsonSchema[] => (Array.isArray(u) ? u.filter(isSchema) : [])
const named = <K extends string>(key: K, u: unknown) => (typeof u === 'number' ? { [key]: u } : {})
const shown = (u: unknown): string => JSON.stringify(u) ?? 'nothing'

/** A kind of an object that is told apart by the word under `key`. */
export interface Kind {
  readonly key: string
  readonly word: string
  readonly sentence: string
  /** Whether it is the one where the word is left out. */
  readonly standard: boolean
}
/** A field of an object, alike in all kinds that have it. */
export interface Field {
  readonly name: string
  readonly json: JsonSchema
  readonly sentence: string
  readonly required: boolean
  /** The kinds that have it; undefined where all do. */
  readonly kinds: readonly string[] | undefined
}

/** The objects that a value may be, those of lists and of alternatives among them. */
const objectsOf = (json: JsonSchema): readonly JsonSchema[] =>
  isSchema(json.properties)
    ? [json]
    : [...schemas(json.anyOf), ...schemas(json.oneOf), ...(isSchema(json.items) ? [json.items] : [])].flatMap(objectsOf)

const entriesOf = (object: JsonSchema): readonly (readonly [string, JsonSchema])[] =>
  Object.entries(isSchema(object.properties) ? object.properties : {}).flatMap(([name, json]) =>
    isSchema(json) ? [[name, json] as const] : [],
  )
const sentenceOf = ({ description }: JsonSchema): string => (typeof description === 'string' ? description : '')

const kindOf = (object: JsonSchema): Kind | undefined => {
  const [found] = entriesOf(object).filter(([, json]) => 'const' in json)
  if (found === undefined) return undefined
  const [key, json] = found
  return { key, word: String(json.const), sentence: sentenceOf(json), standard: 'default' in json }
}
/** The kinds of the object that a value is. */
export const kindsOf = (json: JsonSchema): readonly Kind[] => objectsOf(json).flatMap((o) => kindOf(o) ?? [])

/** The fields of the object that a value is, but the word of its kind; a field that differs between kinds is there once for each form. */
export const fieldsOf = (json: JsonSchema): readonly Field[] => {
  const before = known.get(json)
  if (before !== undefined) return before
  const fields = foundIn(json)
  known.set(json, fields)
  return fields
}
const known = new WeakMap<JsonSchema, readonly Field[]>()

const foundIn = (json: JsonSchema): readonly Field[] => {
  const objects = objectsOf(json)
  const found = objects.flatMap((object) =>
    entriesOf(object)
      .filter(([, field]) => !('const' in field))
      .map(([name, field]) => ({
        name,
        field,
        required: Array.isArray(object.required) && object.required.includes(name),
        kind: kindOf(object)?.word,
      })),
  )
  const groups = Object.values(
    RNEA.groupBy(({ name, field }: (typeof found)[number]) => `${name} ${shown(field)}`)(found),
  )
  return groups.map((same) => {
    const [first] = same
    const kinds = same.flatMap(({ kind }) => kind ?? [])
    return {
      name: first.name,
      json: first.field,
      sentence: sentenceOf(first.field),
      required: same.every(({ required }) => required),
      kinds: same.length === objects.length || kinds.length === 0 ? undefined : kinds,
    }
  })
}

const boundsOf = ({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): Bounds => ({
  ...named('min', minimum),
  ...named('max', maximum),
  ...named('above', exclusiveMinimum),
  ...named('below', exclusiveMaximum),
})

/** What a value may be: `an integer in [1, 64]`, `"l1" | "l2"`. */
export const valuesOf = (json: JsonSchema): string => {
  if (Array.isArray(json.enum)) return json.enum.map(shown).join(' | ')
  if ('const' in json) return shown(json.const)
  const kinds = kindsOf(json)
  if (Array.isArray(json.oneOf) && kinds[0] !== undefined)
    return `an object whose ${kinds[0].key} is ${kinds.map(({ word }) => shown(word)).join(' | ')}`
  if (Array.isArray(json.anyOf)) return schemas(json.anyOf).map(valuesOf).join(', or ')
  if (json.type === 'number') return boundsName('a number', boundsOf(json))
  if (json.type === 'integer') return boundsName('an integer', boundsOf(json))
  if (json.type === 'boolean') return 'true or false'
  if (json.type === 'string') return json.minLength === 1 ? 'a string that is not empty' : 'a string'
  if (json.type === 'array') {
    const lengths = lengthsName({ ...named('min', json.minItems), ...named('max', json.maxItems) })
    return isSchema(json.items) ? `${lengths}, each ${valuesOf(json.items)}` : lengths
  }
  return json.type === 'null' ? 'null' : 'an object'
}

/** A field and where it stands: a JSON pointer, in which the items of lists are 0. */
export interface Placed {
  readonly pointer: string
  readonly field: Field
}
const isList = (json: JsonSchema): boolean =>
  json.type === 'array' || [...schemas(json.anyOf), ...schemas(json.oneOf)].some(isList)
/** Behind a field's pointer, where the fields of its objects stand. */
export const inside = (pointer: string, { items, anyOf }: JsonSchema): string =>
  isSchema(items) || schemas(anyOf).some(isList) ? `${pointer}/0` : pointer

/** All fields of a document. */
export const placedFields = (json: JsonSchema, at = ''): readonly Placed[] =>
  fieldsOf(json).flatMap((field) => {
    const pointer = `${at}/${escapePointer(field.name)}`
    return [{ pointer, field }, ...placedFields(field.json, inside(pointer, field.json))]
  })

/** Where a field's example stands in its object. */
export const exampleText = ({ name, json }: Field): string => `${shown(name)}: ${shown(exampleOf(json))}`
