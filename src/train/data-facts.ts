import type { About, Dataset } from '../data/dataset.ts'
import { type Checked, type Errors, failure, type LatentError, reasonOf } from '../error.ts'
import { E, pipe } from '../prelude.ts'
import { decode, integer, list, record, text } from '../schema.ts'

/** What of a picture a run depends on. */
type Fact = Pick<About, 'name' | 'class' | 'caption' | 'bytes' | 'sha256'>

/** What a run's pictures are: `data.json` of its folder, which a resumed run must find again. */
export interface DataFacts {
  readonly classes: readonly string[]
  readonly pictures: readonly Fact[]
}

const codec = record({
  classes: list(text),
  pictures: list(record({ name: text, bytes: integer({ min: 0 }), sha256: text }, {}, { class: text, caption: text })),
})

const factOf = ({ name, class: of, caption, bytes, sha256 }: About): Fact => ({
  name,
  ...(of === undefined ? {} : { class: of }),
  ...(caption === undefined ? {} : { caption }),
  bytes,
  sha256,
})

export const dataFacts = ({ n, classes, about }: Dataset): DataFacts => ({
  classes,
  pictures: Array.from({ length: n }, (_, i) => factOf(about(i))),
})

/** One picture a line. */
export const showDataFacts = ({ classes, pictures }: DataFacts): string =>
  `{\n"classes": ${JSON.stringify(classes)},\n"pictures": [\n${pictures.map((p) => JSON.stringify(p)).join(',\n')}\n]\n}`

export const parseDataFacts = (content: string, path: string): Checked<DataFacts> =>
  pipe(
    E.tryCatch(
      (): unknown => JSON.parse(content),
      (reason): Errors => [failure('file', path, 'JSON, as the run wrote it', reasonOf(reason))],
    ),
    E.flatMap(decode(codec, { tag: 'file', base: path })),
  )

/** Names, so many as one reads. */
const shown = 5
const listed = (names: readonly string[]): string =>
  names.length <= shown ? names.join(', ') : `${names.slice(0, shown).join(', ')} and ${names.length - shown} more`
const quoted = (name: string | undefined): string => (name === undefined ? 'none' : JSON.stringify(name))

/** A picture then and now. */
type Pair = readonly [was: Fact, is: Fact]

/** Pictures of the same content under other names, each paired once. */
const movedOf = (gone: readonly Fact[], fresh: readonly Fact[]): readonly Pair[] => {
  const byContent = new Map<string, Fact[]>()
  for (const p of fresh) byContent.set(p.sha256, [...(byContent.get(p.sha256) ?? []), p])
  return gone.flatMap((was) => {
    const is = byContent.get(was.sha256)?.shift()
    return is === undefined ? [] : [[was, is] as const]
  })
}

/** Classes that are gone while all their pictures that are left are in one that is new. */
const renamedClasses = (was: DataFacts, is: DataFacts, pairs: readonly Pair[]): ReadonlyMap<string, string> =>
  new Map(
    was.classes.flatMap((name) => {
      const into = new Set(pairs.flatMap(([a, b]) => (a.class === name ? [b.class] : [])))
      const [to] = into
      const renamed = into.size === 1 && to !== undefined && !is.classes.includes(name) && !was.classes.includes(to)
      return renamed ? [[name, to] as const] : []
    }),
  )

/** What differs, each kind with the names of what it befell. */
const changesBetween = (
  was: DataFacts,
  is: DataFacts,
): readonly (readonly [what: string, which: readonly string[]])[] => {
  const now = new Map(is.pictures.map((p) => [p.name, p]))
  const before = new Set(was.pictures.map(({ name }) => name))
  const kept = was.pictures.flatMap((p): readonly Pair[] => {
    const same = now.get(p.name)
    return same === undefined ? [] : [[p, same]]
  })
  const gone = was.pictures.filter(({ name }) => !now.has(name))
  const fresh = is.pictures.filter(({ name }) => !before.has(name))
  const moved = movedOf(gone, fresh)
  const classes = renamedClasses(was, is, [...kept, ...moved])
  const [from, to] = [new Set(moved.map(([a]) => a)), new Set(moved.map(([, b]) => b))]
  const inRenamed = ([a, b]: Pair): boolean => a.class !== undefined && classes.get(a.class) === b.class
  const reclassed = kept.filter((pair) => pair[0].class !== pair[1].class && !inRenamed(pair))
  const added = is.classes.filter((c) => !was.classes.includes(c) && ![...classes.values()].includes(c))
  const removed = was.classes.filter((c) => !is.classes.includes(c) && !classes.has(c))
  const all: readonly (readonly [string, readonly string[]])[] = [
    ['classes renamed', [...classes].map(([a, b]) => `${quoted(a)} -> ${quoted(b)}`)],
    ['classes added', added.map(quoted)],
    ['classes removed', removed.map(quoted)],
    ['pictures added', fresh.flatMap((p) => (to.has(p) ? [] : [p.name]))],
    ['pictures removed', gone.flatMap((p) => (from.has(p) ? [] : [p.name]))],
    ['pictures renamed', moved.flatMap((pair) => (inRenamed(pair) ? [] : [`${pair[0].name} -> ${pair[1].name}`]))],
    ['pictures of other content', kept.flatMap(([a, b]) => (a.sha256 === b.sha256 ? [] : [a.name]))],
    ['pictures in other classes', reclassed.map(([a, b]) => `${a.name} (${quoted(a.class)} -> ${quoted(b.class)})`)],
    ['captions changed', kept.flatMap(([a, b]) => (a.caption === b.caption ? [] : [a.name]))],
  ]
  return all.filter(([, which]) => which.length > 0)
}

/** Whether a run can go on with these pictures. Errors (`data`, at `at`): what has changed, by name. */
export const sameData = (at: string, was: DataFacts, is: DataFacts): Checked<void> => {
  const [first, ...rest] = changesBetween(was, is).map(
    ([what, which]): LatentError =>
      failure(
        'data',
        at,
        `the ${was.pictures.length} pictures that the run is trained on`,
        `${what}: ${listed(which)}`,
        'put them back as they were, or train into another folder',
      ),
  )
  return first === undefined ? E.right(undefined) : E.left<Errors, void>([first, ...rest])
}
