import { posix } from 'node:path'
import { evaluate, parse } from '@humanwhocodes/momoa'
import { type Checked, type Errors, fail, failure, reasonOf } from '../error.ts'
import { E, pipe, RA } from '../prelude.ts'
import { type Codec, decode, list, number } from '../schema.ts'
import { type BoxItem, boxItems } from './boxes.ts'
import { collectFew, several, suchAs } from './left-out.ts'

/** A picture of a folder: its path from there, with `/` between folders, and what is said about it. */
export interface Listed {
  readonly file: string
  readonly text?: string | undefined
  readonly class?: string | undefined
  readonly vector?: readonly number[] | undefined
  readonly boxes?: readonly BoxItem[] | undefined
  /** Where it is listed, for errors. */
  readonly at: string
}

export const metadataName = 'metadata.jsonl'

/** What `metadata.jsonl` lists, and which members of its lines nothing reads. */
export interface Metadata {
  readonly listed: readonly Listed[]
  readonly notes: readonly string[]
}

const members = ['file_name', 'text', 'class', 'vector', 'boxes'] as const
type Member = (typeof members)[number]
const quoted = members.map((name) => `"${name}"`)
const readMembers = `${quoted.slice(0, -1).join(', ')} and ${quoted.at(-1)}`

interface Line extends Listed {
  readonly unread: readonly string[]
}

/** An object's members; a name twice would silently be the last. */
const objectOf = (line: string, at: string): Checked<ReadonlyMap<string, unknown>> =>
  pipe(
    E.tryCatch(
      () => parse(line).body,
      (reason): Errors => [failure('data', at, 'a line of JSON', reasonOf(reason))],
    ),
    E.flatMap((body) => {
      if (body.type !== 'Object')
        return fail(
          'data',
          at,
          '{ "file_name": string, "text"?: string, "class"?: string, "vector"?: numbers, "boxes"?: boxes }',
          line.slice(0, 120),
        )
      const entries = body.members.map(
        ({ name, value }) => [name.type === 'String' ? name.value : name.name, evaluate(value)] as const,
      )
      const again = entries.find(([name], i) => entries.findIndex(([other]) => other === name) < i)
      return again === undefined
        ? E.right(new Map<string, unknown>(entries))
        : fail('data', at, 'every member once', `"${again[0]}" twice`)
    }),
  )

const textOf = (
  at: string,
  found: ReadonlyMap<string, unknown>,
  member: Exclude<Member, 'vector' | 'boxes'>,
): Checked<string | undefined> => {
  const value = found.get(member)
  return value === undefined || (typeof value === 'string' && (value !== '' || member === 'text'))
    ? E.right(value)
    : fail('data', at, `"${member}": a string${member === 'text' ? '' : ' with a name'}`, JSON.stringify(value))
}

const listed =
  <A>(codec: Codec<A>, member: 'vector' | 'boxes') =>
  (at: string, found: ReadonlyMap<string, unknown>): Checked<A | undefined> => {
    const value = found.get(member)
    return value === undefined
      ? E.right(undefined)
      : pipe(value, decode(codec, { tag: 'data', base: `${at}: "${member}"` }))
  }
const vectorIn = listed(list(number(), { min: 1, max: 65536 }), 'vector')
const boxesIn = listed(boxItems, 'boxes')

const placeOf = (at: string, file: string | undefined, keys: readonly string[]): Checked<string> =>
  file === undefined
    ? fail('data', at, '"file_name": a string', keys.length === 0 ? 'nothing' : `only ${keys.join(', ')}`)
    : /^([/\\]|[a-z]:)|(^|[/\\])\.\.([/\\]|$)/i.test(file)
      ? fail('data', at, 'a file inside the folder', JSON.stringify(file))
      : E.right(posix.normalize(file))

const lineOf = (line: string, at: string): Checked<readonly Line[]> =>
  line.trim() === ''
    ? E.right([])
    : pipe(
        objectOf(line, at),
        E.bindTo('found'),
        E.bind('name', ({ found }) => textOf(at, found, 'file_name')),
        E.bind('file', ({ found, name }) => placeOf(at, name, [...found.keys()])),
        E.bind('text', ({ found }) => textOf(at, found, 'text')),
        E.bind('class', ({ found }) => textOf(at, found, 'class')),
        E.bind('vector', ({ found }) => vectorIn(at, found)),
        E.bind('boxes', ({ found }) => boxesIn(at, found)),
        E.map(({ found, file, text, class: label, vector, boxes }) => [
          {
            file,
            text,
            class: label,
            vector,
            boxes,
            at,
            unread: [...found.keys()].filter((k) => !members.some((m) => m === k)),
          },
        ]),
      )

/** Every picture has the member, or none has: one error for all lines that differ from most. */
const uniform =
  (member: 'text' | 'class') =>
  (lines: readonly Line[]): Checked<readonly Line[]> => {
    const without = lines.filter((line) => line[member] === undefined)
    const having = lines.filter((line) => line[member] !== undefined)
    const [odd, usual] = having.length < without.length ? [having, without] : [without, having]
    const [first] = odd
    if (first === undefined) return E.right(lines)
    const more = odd.length === 1 ? '' : `, nor do ${several(odd.length - 1, 'more line')} agree`
    return odd === without
      ? fail('data', first.at, `"${member}", as ${several(usual.length, 'other line')} have`, `none${more}`)
      : fail('data', first.at, `no "${member}", as ${several(usual.length, 'other line')}`, `"${member}"${more}`)
  }

const distinct = (lines: readonly Line[]): Checked<readonly Line[]> => {
  const first = new Map<string, Line>()
  for (const line of lines) if (!first.has(line.file)) first.set(line.file, line)
  return collectFew(
    lines.map((line) => {
      const earlier = first.get(line.file) ?? line
      return earlier === line
        ? E.right(line)
        : fail('data', line.at, 'every file once', `${line.file}, as on ${earlier.at}`, 'keep one of the two lines')
    }),
  )
}

const unreadNotes = (lines: readonly Line[]): readonly string[] => {
  const unread = [...new Set(lines.flatMap((line) => line.unread))]
  return unread.length === 0
    ? []
    : [`${metadataName}: nothing reads ${unread.map((k) => `"${k}"`).join(', ')}; a line's ${readMembers} are read`]
}

/** Names that a person would take for one class. */
const alike = (name: string): string => name.normalize('NFKC').trim().toLowerCase()
export const alikeNotes = (classes: readonly string[]): readonly string[] => {
  const groups = new Map<string, string[]>()
  for (const name of classes) groups.set(alike(name), [...(groups.get(alike(name)) ?? []), name])
  return [...groups.values()].flatMap((names) =>
    names.length < 2
      ? []
      : [`classes of their own, though they look alike: ${names.map((n) => JSON.stringify(n)).join(', ')}`],
  )
}

const utf8 = new TextDecoder('utf-8', { fatal: true })
/** The lines of a file; the first that is no UTF-8 is an error. */
const linesOf = (path: string, bytes: Uint8Array): Checked<readonly string[]> => {
  const whole = E.tryCatch(() => utf8.decode(bytes), reasonOf)
  if (E.isRight(whole)) return E.right(whole.right.split('\n'))
  const hint = 'save the file as UTF-8'
  const [a, b] = bytes
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff)) return fail('data', path, 'UTF-8', 'UTF-16', hint)
  for (let line = 1, from = 0; from <= bytes.length; line++) {
    const end = bytes.indexOf(0x0a, from)
    const part = bytes.subarray(from, end < 0 ? bytes.length : end)
    if (E.isLeft(E.tryCatch(() => utf8.decode(part), reasonOf)))
      return fail(
        'data',
        `${path}:${line}`,
        'UTF-8',
        JSON.stringify(Buffer.from(part).toString('latin1').slice(0, 80)),
        hint,
      )
    from += part.length + 1
  }
  return fail('data', path, 'UTF-8', whole.left, hint)
}

/**
 * What a `metadata.jsonl` says: lines of `{ "file_name", "text"?, "class"?, "vector"?, "boxes"? }`. Errors: `data`, with the line: no UTF-8, no JSON, a
 * member of another type, a file outside of the folder or listed twice, a caption or a class for some pictures alone.
 */
export const parseMetadata = (path: string, bytes: Uint8Array): Checked<Metadata> =>
  pipe(
    linesOf(path, bytes),
    E.flatMap((lines) => collectFew(lines.map((line, i) => lineOf(line, `${path}:${i + 1}`)))),
    E.map(RA.flatten),
    E.flatMap(distinct),
    E.flatMap(uniform('text')),
    E.flatMap(uniform('class')),
    E.map((lines) => ({ listed: lines, notes: [...unreadNotes(lines), ...captionNotes(lines)] })),
  )

const captionNotes = (lines: readonly Line[]): readonly string[] => {
  const empty = lines.filter(({ text }) => text?.trim() === '')
  return empty.length === 0
    ? []
    : [`${several(empty.length, 'caption')} without words${suchAs(empty.map(({ at }) => at))}`]
}
