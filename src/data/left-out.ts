import { type Checked, collect, type Errors } from '../error.ts'
import { E, pipe } from '../prelude.ts'

/** What of a folder is no picture to train on, and how that is said: once, counted by reason. */

const reasons = {
  hidden: 'hidden, or left by the system or an editor',
  unfinished: 'unfinished downloads or backups',
  broken: 'links to nothing',
  loop: 'links to a folder that they lie in',
  special: 'neither files nor folders',
  undecodable: 'pictures of a kind that cannot be decoded here; convert them to PNG or JPEG',
  metadata: 'not read: metadata comes from metadata.jsonl in the folder itself',
  other: 'no pictures',
  unlisted: 'pictures that metadata.jsonl does not list',
} as const
export type Reason = keyof typeof reasons

export interface LeftOut {
  /** From the folder, with `/` between folders. */
  readonly path: string
  readonly reason: Reason
}

const endingOf = (path: string): string => /[^/](\.[^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? 'without ending'

const counted = (words: readonly string[]): readonly (readonly [string, number])[] =>
  [...words.reduce((all, word) => all.set(word, (all.get(word) ?? 0) + 1), new Map<string, number>())].sort(
    ([, a], [, b]) => b - a,
  )

const fewest = 6
/** `.bmp 10, .heic 2` */
const endings = (paths: readonly string[]): string => {
  const all = counted(paths.map(endingOf))
  const rest = all.slice(fewest).reduce((n, [, count]) => n + count, 0)
  return [
    ...all.slice(0, fewest).map(([ending, count]) => `${ending} ${count}`),
    ...(rest === 0 ? [] : [`others ${rest}`]),
  ].join(', ')
}

/** The first of some names, for an example. */
export const suchAs = (names: readonly string[]): string =>
  names.length === 1 ? `: ${names[0]}` : `, such as ${names.slice(0, 2).join(' and ')}`

/** `3 pictures`, `1 picture` */
export const several = (n: number, one: string, many = `${one}s`): string =>
  `${n.toLocaleString('en-US')} ${n === 1 ? one : many}`

/** A sentence a reason. */
export const leftOutNotes = (all: readonly LeftOut[]): readonly string[] =>
  Object.entries(reasons).flatMap(([reason, says]) => {
    const paths = all.filter((one) => one.reason === reason).map(({ path }) => path)
    const kinds = reason === 'undecodable' || reason === 'other' ? `, ${endings(paths)}` : ''
    return paths.length === 0
      ? []
      : [`left out ${paths.length.toLocaleString('en-US')} (${says}${kinds})${suchAs(paths)}`]
  })

const named = 10
/** As `collect`, but errors after the tenth are counted: 20,000 broken files have one cause. */
export const collectFew = <A>(items: readonly Checked<A>[]): Checked<readonly A[]> =>
  pipe(
    collect(items),
    E.mapLeft((errors): Errors => {
      const [first, ...rest] = errors
      const more = errors.length - named
      const last = rest[named - 2]
      return more <= 0 || last === undefined
        ? errors
        : [first, ...rest.slice(0, named - 2), { ...last, got: `${last.got}; and ${more} more errors like these` }]
    }),
  )
