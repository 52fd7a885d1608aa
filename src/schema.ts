import { distance } from 'fastest-levenshtein'
import { type Checked, failure, type LatentError } from './error.ts'
import { E, t } from './prelude.ts'

// Over 400 lines: combinators, each with its validation, its JSON Schema and its types, which read each other.

/**
 * io-ts codecs for declared documents. They differ from io-ts' own in three ways: an unknown key is an error
 * (io-ts' `exact` strips it silently), every codec also carries its JSON Schema, and a failure names the JSON
 * pointer, what was expected, what came and the nearest right spelling.
 */
export interface Codec<A> extends t.Type<A, A, unknown> {
  readonly json: JsonSchema
}
export type JsonSchema = { readonly [key: string]: unknown }
export type Decoded<C> = C extends t.Type<infer A, infer _O, infer _I> ? A : never
type AnyCodec = t.Mixed & { readonly json: JsonSchema }

/** JSON, with the numbers that JSON has no words for. */
const show = (u: unknown): string => {
  const s = u === undefined ? 'nothing' : typeof u === 'number' ? String(u) : (JSON.stringify(u) ?? String(u))
  return s.length > 120 ? `${s.slice(0, 117)}...` : s
}

/** The candidate nearest to what was written, when it is near enough to be a slip. */
export const didYouMean = (got: string, candidates: readonly string[]): string | undefined => {
  const ranked = candidates.map((c) => [distance(got.toLowerCase(), c.toLowerCase()), c] as const)
  const best = ranked.reduce<readonly [number, string] | undefined>(
    (a, b) => (a === undefined || b[0] < a[0] ? b : a),
    undefined,
  )
  return best !== undefined && best[0] <= Math.max(2, Math.floor(got.length / 3))
    ? `did you mean "${best[1]}"?`
    : undefined
}

const codec = <A>(name: string, json: JsonSchema, validate: (u: unknown, c: t.Context) => t.Validation<A>): Codec<A> =>
  Object.assign(
    new t.Type<A, A, unknown>(
      name,
      (u): u is A => E.isRight(validate(u, [])),
      validate,
      (a) => a,
    ),
    { json },
  )

/** `message` carries expected and hint to `decode`, which turns both into one error. */
const mismatch = (u: unknown, c: t.Context, expected: string, hint?: string): t.Validation<never> =>
  E.left([{ value: u, context: c, message: JSON.stringify({ expected, hint }) }])

const enter = (c: t.Context, key: string, type: t.Decoder<unknown, unknown>, actual: unknown): t.Context => [
  ...c,
  { key, type, actual },
]

const scalar = <A>(name: string, json: JsonSchema, accepts: (u: unknown) => u is A): Codec<A> =>
  codec(name, json, (u, c) => (accepts(u) ? E.right(u) : mismatch(u, c, name)))

export const text: Codec<string> = scalar('a string', { type: 'string' }, (u): u is string => typeof u === 'string')
export const nonEmpty: Codec<string> = scalar(
  'a string that is not empty',
  { type: 'string', minLength: 1 },
  (u): u is string => typeof u === 'string' && u !== '',
)
/** A string of at most so many characters (UTF-16), each of them whole. */
export const shortText = (max: number): Codec<string> =>
  scalar(
    `a string of at most ${max} characters`,
    { type: 'string', maxLength: max },
    (u): u is string => typeof u === 'string' && u.length <= max && !/\p{Surrogate}/u.test(u),
  )
export const flag: Codec<boolean> = scalar(
  'true or false',
  { type: 'boolean' },
  (u): u is boolean => typeof u === 'boolean',
)

/** Whatever JSON can hold; decoded further by its reader. */
export const anything: Codec<unknown> = codec<unknown>('a value', {}, (u, c) =>
  u === undefined ? mismatch(u, c, 'a value') : E.right(u),
)

export interface Bounds {
  readonly min?: number
  readonly max?: number
  /** The bound itself is excluded. */
  readonly above?: number
  /** The bound itself is excluded. */
  readonly below?: number
}
const within = (u: number, { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity }: Bounds): boolean =>
  Number.isFinite(u) && u >= min && u <= max && u > above && u < below
/** Bounds in words: `a number in [0, 1)`. */
export const boundsName = (kind: string, { min, max, above, below }: Bounds): string => {
  const [from, to] = [min ?? above, max ?? below]
  return from !== undefined && to !== undefined
    ? `${kind} in ${min === undefined ? '(' : '['}${from}, ${to}${max === undefined ? ')' : ']'}`
    : [
        kind,
        ...(above === undefined ? [] : [`above ${above}`]),
        ...(min === undefined ? [] : [`of at least ${min}`]),
        ...(max === undefined ? [] : [`at most ${max}`]),
        ...(below === undefined ? [] : [`below ${below}`]),
      ].join(' ')
}
const boundsJson = (type: string, { min, max, above, below }: Bounds): JsonSchema => ({
  type,
  ...(min === undefined ? {} : { minimum: min }),
  ...(max === undefined ? {} : { maximum: max }),
  ...(above === undefined ? {} : { exclusiveMinimum: above }),
  ...(below === undefined ? {} : { exclusiveMaximum: below }),
})

export const number = (b: Bounds = {}): Codec<number> =>
  scalar(boundsName('a number', b), boundsJson('number', b), (u): u is number => typeof u === 'number' && within(u, b))
export const integer = (b: Bounds = {}): Codec<number> =>
  scalar(
    boundsName('an integer', b),
    boundsJson('integer', b),
    (u): u is number => typeof u === 'number' && Number.isSafeInteger(u) && within(u, b),
  )

/** One of a closed set of values. */
export const literal = <const V extends readonly (string | number | boolean | null)[]>(values: V): Codec<V[number]> => {
  const name = values.map((v) => JSON.stringify(v)).join(' | ')
  return codec<V[number]>(name, { enum: values }, (u, c) => {
    const found = values.find((v) => v === u)
    return found === undefined ? mismatch(u, c, name) : E.right(found)
  })
}

/** One of a closed set of words. */
export const word = <const W extends readonly string[]>(words: W): Codec<W[number]> => {
  const name = words.map((w) => `"${w}"`).join(' | ')
  return codec<W[number]>(name, { enum: words }, (u, c) => {
    const found = words.find((w) => w === u)
    return found === undefined
      ? mismatch(u, c, name, typeof u === 'string' ? didYouMean(u, words) : undefined)
      : E.right(found)
  })
}

export interface Lengths {
  readonly min?: number
  readonly max?: number
}
/** Lengths in words: `a list of 2 to 4`. */
export const lengthsName = ({ min = 0, max }: Lengths): string =>
  max === undefined
    ? min > 0
      ? `a list of at least ${min}`
      : 'a list'
    : min === max
      ? `a list of ${min}`
      : `a list of ${min} to ${max}`

export const list = <A>(of: Codec<A>, lengths: Lengths = {}): Codec<readonly A[]> => {
  const { min = 0, max = Infinity } = lengths
  const name = lengthsName(lengths)
  return codec<readonly A[]>(
    name,
    {
      type: 'array',
      items: of.json,
      ...(min > 0 ? { minItems: min } : {}),
      ...(lengths.max === undefined ? {} : { maxItems: lengths.max }),
    },
    (u, c) => {
      if (!Array.isArray(u) || u.length < min || u.length > max) return mismatch(u, c, name)
      const results = u.map((item: unknown, i) => of.validate(item, enter(c, String(i), of, item)))
      const errors = results.flatMap((r) => (E.isLeft(r) ? r.left : []))
      return errors.length > 0
        ? E.left(firstFew(errors))
        : E.right(results.flatMap((r) => (E.isRight(r) ? [r.right] : [])))
    },
  )
}

/** One value for all, or a list of one for each. */
export const orList = <A>(of: Codec<A>, lengths: Lengths = {}): Codec<A | readonly A[]> => {
  const several = list(of, lengths)
  return codec<A | readonly A[]>(`${of.name} or ${several.name}`, { anyOf: [of.json, several.json] }, (u, c) =>
    Array.isArray(u) ? several.validate(u, c) : of.validate(u, c),
  )
}

/** What either of two reads; the first that does. */
export const either = <A, B>(first: Codec<A>, second: Codec<B>): Codec<A | B> => {
  const name = `${first.name} or ${second.name}`
  return codec<A | B>(name, { anyOf: [first.json, second.json] }, (u, c) => {
    const read = first.validate(u, c)
    if (E.isRight(read)) return read
    const other = second.validate(u, c)
    return E.isRight(other) ? other : mismatch(u, c, name)
  })
}

/** So many errors of one list are named: 300 words in the place of numbers have one cause. */
const named = 10
/** The errors of a list, those after the tenth counted. */
const firstFew = (errors: t.Errors): t.Errors => {
  const last = errors[named - 1]
  if (last === undefined || errors.length === named) return errors
  const hint = `${errors.length - named} more in this list`
  return [...errors.slice(0, named - 1), { ...last, message: JSON.stringify({ ...said(last), hint }) }]
}

export const dictionary = <A>(of: Codec<A>): Codec<Readonly<Record<string, A>>> =>
  codec<Readonly<Record<string, A>>>('an object', { type: 'object', additionalProperties: of.json }, (u, c) => {
    if (!isObject(u)) return mismatch(u, c, 'an object')
    const results = Object.entries(u).map(([k, v]) => [k, of.validate(v, enter(c, k, of, v))] as const)
    const errors = results.flatMap(([, r]) => (E.isLeft(r) ? r.left : []))
    return errors.length > 0
      ? E.left(errors)
      : E.right(Object.fromEntries(results.flatMap(([k, r]) => (E.isRight(r) ? [[k, r.right]] : []))))
  })

export const nullable = <A>(of: Codec<A>): Codec<A | null> =>
  codec<A | null>(`${of.name} or null`, { anyOf: [of.json, { type: 'null' }] }, (u, c) =>
    u === null ? E.right(null) : of.validate(u, c),
  )

const isObject = (u: unknown): u is Readonly<Record<string, unknown>> =>
  typeof u === 'object' && u !== null && !Array.isArray(u)

/** A field that may be left out; the decoded document then holds `fallback`. */
export interface WithDefault<A> {
  readonly of: Codec<A>
  readonly fallback: A
}
export const withDefault = <A>(of: Codec<A>, fallback: NoInfer<A>): WithDefault<A> => ({ of, fallback })
/** An object that may be left out: the decoded document then holds `given`, with the object's own defaults. */
export const withOwnDefaults = <A>(of: Codec<A>, given: object = {}): WithDefault<A> => {
  const decoded = of.decode(given)
  if (E.isLeft(decoded)) throw new Error(`a default that is no ${of.name}: ${show(given)}`)
  return { of, fallback: decoded.right }
}

/** What a newcomer is told of a field or of a kind: what it is, its unit, what more or less of it does. */
export interface About {
  readonly sentence: string
  readonly example?: unknown
}
export interface Described {
  readonly about: About
}
type AnyDefault = { readonly of: AnyCodec; readonly fallback: unknown }

/**
 * A field with its description, and an example where neither its default nor its first value serves as one.
 *
 * @example
 * const picture = describedRecord({ size: about('Side of the pictures, in pixels.', integer({ min: 8 }), 64) })
 */
export const about = <F extends AnyCodec | AnyDefault>(
  sentence: string,
  field: F,
  example?: unknown,
): F & Described => ({
  ...field,
  about: { sentence, ...(example === undefined ? {} : { example }) },
})

/** A value that a schema admits: the one it gives, else made of those of its parts; undefined where it says none. */
export const exampleOf = (json: JsonSchema): unknown => {
  const { examples, anyOf, oneOf, items, properties, required, minItems } = json
  const [first]: readonly unknown[] = [examples, anyOf ?? oneOf, json.enum].flatMap((l) => (Array.isArray(l) ? l : []))
  if (Array.isArray(examples) || Array.isArray(json.enum)) return first
  for (const key of ['default', 'const']) if (key in json) return json[key]
  if (isObject(first)) return exampleOf(first)
  if (json.type === 'boolean') return true
  if (isObject(items)) {
    const item = exampleOf(items)
    return item === undefined ? undefined : Array.from({ length: Math.max(1, Number(minItems ?? 1)) }, () => item)
  }
  if (!isObject(properties) || !Array.isArray(required)) return undefined
  return Object.fromEntries(
    Object.entries(properties).flatMap(([k, p]) => (required.includes(k) && isObject(p) ? [[k, exampleOf(p)]] : [])),
  )
}

type AnyField = (AnyCodec | AnyDefault) & Partial<Described>
const fieldJson = (field: AnyField): JsonSchema => {
  const json: JsonSchema = 'of' in field ? { ...field.of.json, default: field.fallback } : field.json
  if (field.about === undefined) return json
  const example = field.about.example ?? exampleOf(json)
  return { description: field.about.sentence, ...json, ...(example === undefined ? {} : { examples: [example] }) }
}

type Required = Readonly<Record<string, AnyCodec & Partial<Described>>>
type Defaulted = Readonly<Record<string, AnyDefault & Partial<Described>>>
type RecordOf<R extends Required, D extends Defaulted, P extends Required> = {
  readonly [K in keyof R]: Decoded<R[K]>
} & { readonly [K in keyof D]: Decoded<D[K]['of']> } & { readonly [K in keyof P]?: Decoded<P[K]> }

/** An object with exactly these keys: required ones, ones with defaults, and ones that may be absent. */
export const record = <
  R extends Required,
  D extends Defaulted = Record<never, never>,
  P extends Required = Record<never, never>,
>(
  required: R,
  defaulted?: D,
  optional?: P,
): Codec<RecordOf<R, D, P>> => {
  const withDefaults: Defaulted = defaulted ?? {}
  const absentable: Required = optional ?? {}
  const fields: Required = {
    ...required,
    ...Object.fromEntries(Object.entries(withDefaults).map(([k, d]) => [k, d.of])),
    ...absentable,
  }
  const known = Object.keys(fields)
  const declared: Readonly<Record<string, AnyField>> = { ...required, ...withDefaults, ...absentable }
  const json: JsonSchema = {
    type: 'object',
    properties: Object.fromEntries(Object.entries(declared).map(([k, field]) => [k, fieldJson(field)])),
    required: Object.keys(required),
    additionalProperties: false,
  }
  const validate = (u: unknown, c: t.Context): t.Validation<RecordOf<R, D, P>> => {
    if (!isObject(u)) return mismatch(u, c, 'an object')
    const unknown = Object.keys(u)
      .filter((k) => !known.includes(k))
      .flatMap((k) => {
        const r = mismatch(k, enter(c, k, t.unknown, k), `one of the keys ${known.join(', ')}`, didYouMean(k, known))
        return E.isLeft(r) ? r.left : []
      })
    const results = known.map((k) => {
      const of = fields[k]
      const value = u[k] === undefined && k in withDefaults ? withDefaults[k]?.fallback : u[k]
      return of === undefined || (value === undefined && k in absentable)
        ? ([k, undefined] as const)
        : ([k, of.validate(value, enter(c, k, of, value))] as const)
    })
    const errors = [...unknown, ...results.flatMap(([, r]) => (r !== undefined && E.isLeft(r) ? r.left : []))]
    if (errors.length > 0) return E.left(errors)
    const decoded: unknown = Object.fromEntries(
      results.flatMap(([k, r]) => (r !== undefined && E.isRight(r) ? [[k, r.right]] : [])),
    )
    const complete = (v: unknown): v is RecordOf<R, D, P> => isObject(v)
    return complete(decoded) ? E.right(decoded) : mismatch(u, c, 'an object')
  }
  return codec('an object', json, validate)
}

type AllDescribed<F> = { readonly [K in keyof F]: F[K] & Described }
/** A `record` of a document that people write: no field without its description. */
export const describedRecord = <
  R extends Required,
  D extends Defaulted = Record<never, never>,
  P extends Required = Record<never, never>,
>(
  required: R & AllDescribed<R>,
  defaulted?: D & AllDescribed<D>,
  optional?: P & AllDescribed<P>,
): Codec<RecordOf<R, D, P>> => record<R, D, P>(required, defaulted, optional)

/** A union told apart by the word under `key`: errors speak of the chosen branch alone. */
export const tagged = <const K extends string, B extends Required>(
  key: K,
  branches: B,
  /** The branch where the key is left out; it must be there otherwise. */
  otherwise?: keyof B & string,
): Codec<{ [N in keyof B & string]: { readonly [k in K]: N } & Decoded<B[N]> }[keyof B & string]> => {
  type Out = { [N in keyof B & string]: { readonly [k in K]: N } & Decoded<B[N]> }[keyof B & string]
  const names = Object.keys(branches)
  const tagName = word(names)
  const json: JsonSchema = {
    oneOf: names.map((n) => {
      const { json: branch, about: told } = branches[n] ?? {}
      const description = told === undefined ? {} : { description: told.sentence }
      const properties = isObject(branch?.properties) ? branch.properties : {}
      const required: unknown = branch?.required
      return {
        ...description,
        ...branch,
        properties: { [key]: { ...description, const: n, ...(n === otherwise ? { default: n } : {}) }, ...properties },
        required: [...(n === otherwise ? [] : [key]), ...(Array.isArray(required) ? required : [])],
      }
    }),
  }
  return codec<Out>(`an object with "${key}"`, json, (u, c) => {
    if (!isObject(u)) return mismatch(u, c, `an object with "${key}": ${tagName.name}`)
    const { [key]: tag = otherwise, ...rest } = u
    const chosen = tagName.validate(tag, enter(c, key, tagName, tag))
    if (E.isLeft(chosen)) return chosen
    const branch = branches[chosen.right]
    if (branch === undefined) return mismatch(tag, c, tagName.name)
    const decoded = branch.validate(rest, c)
    if (E.isLeft(decoded)) return decoded
    const whole: unknown = { [key]: chosen.right, ...decoded.right }
    const complete = (v: unknown): v is Out => isObject(v)
    return complete(whole) ? E.right(whole) : mismatch(u, c, tagName.name)
  })
}

/** A `tagged` of a document that people write: no kind without its description. */
export const describedTagged = <const K extends string, B extends Required>(
  key: K,
  branches: B & AllDescribed<B>,
  otherwise?: keyof B & string,
): ReturnType<typeof tagged<K, B>> => tagged<K, B>(key, branches, otherwise)

/** A key as JSON pointers (RFC 6901) have it. */
export const escapePointer = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1')

/** What `mismatch` put into an error. */
const said = ({ message, context }: t.ValidationError): { readonly expected: string; readonly hint?: string } =>
  message === undefined ? { expected: context.at(-1)?.type.name ?? 'another value' } : JSON.parse(message)

const toError = (tag: LatentError['tag'], base: string, e: t.ValidationError): LatentError => {
  const pointer = e.context
    .slice(1)
    .map(({ key }) => `/${escapePointer(key)}`)
    .join('')
  const { expected, hint } = said(e)
  return failure(tag, `${base}${pointer}` || '/', expected, show(e.value), hint)
}

/** Decodes a document; every failure is reported, each with its JSON pointer behind `base`. */
export const decode =
  <A>(
    of: Codec<A>,
    { tag = 'config', base = '' }: { readonly tag?: LatentError['tag']; readonly base?: string } = {},
  ) =>
  (u: unknown): Checked<A> => {
    const result = of.decode(u)
    if (E.isRight(result)) return result
    const [first, ...rest] = result.left.map((e) => toError(tag, base, e))
    return E.left([first ?? failure(tag, base, of.name, show(u)), ...rest])
  }
