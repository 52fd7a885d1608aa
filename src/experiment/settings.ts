import { type Checked, fail, type LatentError } from '../error.ts'
import { E, pipe, RA, RNEA } from '../prelude.ts'
import { parseJsonText } from './json-text.ts'

/** A change to a document before it is decoded: what stands at a JSON pointer (RFC 6901). */
export interface Setting {
  readonly pointer: string
  readonly keys: readonly string[]
  readonly value: unknown
}

/** JSON where it is, else the text itself. */
const readValue = (text: string, at: string): Checked<unknown> =>
  pipe(
    E.tryCatch(
      () => JSON.parse(text),
      () => text,
    ),
    E.fold(
      (plain): Checked<unknown> => E.right(plain),
      () => pipe(parseJsonText(text, at), E.mapLeft(RNEA.map((e): LatentError => ({ ...e, tag: 'usage' })))),
    ),
  )

/**
 * Reads `/json/pointer=value`; the value is JSON, or else taken as a string. Errors: `usage`.
 *
 * ```ts
 * parseSetting('/sampling/steps=20') // { pointer: '/sampling/steps', keys: ['sampling', 'steps'], value: 20 }
 * ```
 */
export const parseSetting = (text: string): Checked<Setting> => {
  const [, pointer, value] = /^((?:\/(?:[^~=]|~[01])*)+)=([\s\S]*)$/.exec(text) ?? []
  if (pointer === undefined || value === undefined)
    return fail(
      'usage',
      `--set ${text}`,
      '/json/pointer=value',
      JSON.stringify(text),
      'such as --set /sampling/steps=20',
    )
  const keys = pointer
    .slice(1)
    .split('/')
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
  return pipe(
    readValue(value, `--set ${pointer}`),
    E.map((read) => ({ pointer, keys, value: read })),
  )
}

const isRecord = (u: unknown): u is Readonly<Record<string, unknown>> =>
  typeof u === 'object' && u !== null && !Array.isArray(u)

/** Own enumerable keys alone, so that no name reaches a prototype. */
const withKey = (object: Readonly<Record<string, unknown>>, key: string, value: unknown): unknown =>
  Object.fromEntries([...Object.entries(object).filter(([k]) => k !== key), [key, value]])

const place = (document: unknown, [key, ...rest]: readonly string[], value: unknown, at: string): Checked<unknown> => {
  if (key === undefined) return E.right(value)
  const inside = (child: unknown): Checked<unknown> => place(child, rest, value, `${at}/${key}`)
  if (document === undefined)
    return pipe(
      inside(undefined),
      E.map((v) => ({ [key]: v })),
    )
  if (Array.isArray(document)) {
    const items: readonly unknown[] = document
    const index = key === '-' ? items.length : Number(key)
    return /^(0|[1-9]\d*|-)$/.test(key) && index <= items.length
      ? pipe(
          inside(items[index]),
          E.map((v) => [...items.slice(0, index), v, ...items.slice(index + 1)]),
        )
      : fail('usage', `--set ${at}/${key}`, `an index from 0 to ${items.length} (the end, also "-")`, `"${key}"`)
  }
  return isRecord(document)
    ? pipe(
        inside(Object.hasOwn(document, key) ? document[key] : undefined),
        E.map((v) => withKey(document, key, v)),
      )
    : fail('usage', `--set ${at}/${key}`, `an object or a list at ${at}`, JSON.stringify(document))
}

/** Settings that a later one replaces, each with that one. */
export const replaced = (settings: readonly Setting[]): readonly (readonly [earlier: Setting, later: Setting])[] =>
  settings.flatMap((earlier, i) => {
    const later = settings
      .slice(i + 1)
      .find(({ keys }) => keys.every((key, k) => key === earlier.keys[k] && key !== '-'))
    return later === undefined ? [] : [[earlier, later] as const]
  })

/**
 * The document with the settings applied in order. Objects on the way are made where they are missing (a whole section
 * can be left to its defaults); that the keys exist is checked when the document is decoded. Errors: `usage`.
 */
export const applySettings =
  (settings: readonly Setting[]) =>
  (document: unknown): Checked<unknown> =>
    RA.reduce(E.right(document), (sofar: Checked<unknown>, { keys, value }: Setting) =>
      pipe(
        sofar,
        E.flatMap((d) => place(d, keys, value, '')),
      ),
    )(settings)
