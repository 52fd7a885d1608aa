import type { JsonSchema } from '../schema.ts'
import { experiment } from './document.ts'
import { tuning } from './tuning.ts'

/**
 * The JSON Schema (draft 2020-12) of an experiment's file, for editors: of a whole experiment, or of what is trained beside a model that is
 * there. Rules between fields are not in it.
 */
export const experimentSchema: JsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'latentgraph experiment',
  anyOf: [experiment.json, tuning.json],
}

/** Parts of fewer characters are not worth a name. */
const fewCharacters = 200
const isPart = (x: unknown): x is JsonSchema =>
  typeof x === 'object' &&
  x !== null &&
  (('type' in x && typeof x.type === 'string') ||
    ('oneOf' in x && Array.isArray(x.oneOf)) ||
    ('anyOf' in x && Array.isArray(x.anyOf)))
/** Words of schemas that name no field. */
const structure: ReadonlySet<string> = new Set(['', 'oneOf', 'anyOf', 'items', 'properties'])
/** Of which the values are no schemas. */
const ofValues: ReadonlySet<string> = new Set(['default', 'examples', 'const', 'enum', 'required'])
const mapped = (x: unknown, f: (key: string, inner: unknown) => unknown): unknown =>
  Array.isArray(x)
    ? x.map((inner: unknown) => f('', inner))
    : typeof x === 'object' && x !== null
      ? Object.fromEntries(
          Object.entries(x).map(([key, inner]: [string, unknown]) => [key, ofValues.has(key) ? inner : f(key, inner)]),
        )
      : x

/** The same schema with what stands in it several times once, under `$defs`, by the name of the field where it stands first. Pure. */
export const withDefinitions = (schema: JsonSchema): JsonSchema => {
  const counts = new Map<string, number>()
  const count = (x: unknown): unknown => {
    const text = isPart(x) ? JSON.stringify(x) : ''
    const before = counts.get(text) ?? 0
    if (text.length >= fewCharacters) counts.set(text, before + 1)
    return before === 0 || text === '' ? mapped(x, (_, inner) => count(inner)) : x
  }
  count(schema)
  const names = new Map<string, string>()
  const definitions: Record<string, unknown> = {}
  const shared = (field: string, x: unknown): unknown => {
    const text = isPart(x) ? JSON.stringify(x) : ''
    const inner = (): unknown => mapped(x, (key, value) => shared(structure.has(key) ? field : key, value))
    if ((counts.get(text) ?? 0) < 2) return inner()
    const known = names.get(text)
    if (known !== undefined) return { $ref: `#/$defs/${known}` }
    const taken = new Set(names.values())
    const name = [field, ...Array.from({ length: taken.size + 1 }, (_, i) => `${field}${i + 2}`)].find(
      (candidate) => !taken.has(candidate),
    )
    names.set(text, name ?? text)
    definitions[name ?? text] = inner()
    return { $ref: `#/$defs/${name}` }
  }
  const whole = Object.fromEntries(Object.entries(schema).map(([key, x]) => [key, shared(key, x)]))
  return { ...whole, $defs: definitions }
}

/** The schema as the text of a file; made when it is asked for, as commands that do not print it would wait. */
export const experimentSchemaText = (): string => `${JSON.stringify(withDefinitions(experimentSchema), null, 2)}\n`
