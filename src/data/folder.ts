import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checked, type Effect, type Errors, effect, fail, failure } from '../error.ts'
import { readBytes } from '../io/bytes.ts'
import type { PictureOptions } from '../io/images.ts'
import { byCodePoint } from '../io/names.ts'
import { E, pipe, RA, TE } from '../prelude.ts'
import { type About, type Dataset, type Found, loaded } from './dataset.ts'
import { type Decoded, decodeAll, decodedBytes, type FileFacts, type Keep, keepColours, severally } from './decode.ts'
import { colours, type Encoding, held } from './held.ts'
import { fileKind } from './kinds.ts'
import { collectFew, type LeftOut, leftOutNotes, several, suchAs } from './left-out.ts'
import { alikeNotes, type Listed, metadataName, parseMetadata } from './metadata.ts'
import { type Walked, walk } from './walk.ts'

/** How a folder's pictures are taken: their layout, and what is kept of each. */
export interface FolderOptions extends PictureOptions {
  readonly keep?: Keep
  readonly encoding?: Encoding
}

/** The files of a folder, told apart. */
interface Sorted extends Walked {
  /** From the folder, in order of their paths by code point. */
  readonly pictures: readonly string[]
  readonly notes: readonly string[]
}

interface Listing {
  readonly listed: readonly Listed[]
  readonly notes: readonly string[]
}

const sorted = (dir: string): Effect<Sorted> =>
  pipe(
    walk(dir),
    TE.bindTo('walked'),
    TE.bind('kinds', ({ walked }) => severally(walked.files, (path) => fileKind(dir, path))),
    TE.map(({ walked, kinds }) => {
      const of = (...wanted: readonly string[]) => walked.files.filter((_, i) => wanted.includes(kinds[i] ?? ''))
      const inside = of('inside')
      const rest = walked.files.flatMap((path, i): readonly LeftOut[] => {
        const kind = kinds[i]
        return kind === undefined || kind === 'named' || kind === 'inside' || path === metadataName
          ? []
          : [{ path, reason: kind }]
      })
      return {
        ...walked,
        pictures: [...of('named', 'inside')].sort(byCodePoint),
        leftOut: [...walked.leftOut, ...rest],
        notes:
          inside.length === 0
            ? []
            : [`taken for what they are, not for their names: ${several(inside.length, 'picture')}${suchAs(inside)}`],
      }
    }),
  )

const below = (folder: string, path: string): boolean => path.startsWith(`${folder}/`)

/** One folder a class, and what is in folders below is of that class too. */
const classFolders = (dir: string, { pictures, folders, leftOut, notes }: Sorted): Checked<Listing> =>
  pipe(
    collectFew(
      folders.map((folder): Checked<string> => {
        const without = leftOutNotes(leftOut.filter(({ path }) => below(folder, path)))
        return pictures.some((path) => below(folder, path))
          ? E.right(folder)
          : fail('data', join(dir, folder), 'pictures of the class', ['none', ...without].join('; '))
      }),
    ),
    E.map(() => {
      const deep = [...new Set(pictures.flatMap((path) => /^[^/]+\/.+(?=\/)/.exec(path)?.[0] ?? []))]
      return {
        listed: pictures.map((path) => ({ file: path, class: path.split('/')[0], at: join(dir, path) })),
        notes: [
          ...notes,
          ...leftOutNotes(leftOut),
          ...(deep.length === 0
            ? []
            : [`pictures of ${several(deep.length, 'folder')} inside class folders count to the class${suchAs(deep)}`]),
        ],
      }
    }),
  )

const byPlace = (dir: string, found: Sorted): Checked<Listing> => {
  const stray = found.pictures.find((path) => !path.includes('/'))
  if (found.folders.length > 0 && stray !== undefined)
    return fail('data', dir, 'pictures in one folder a class', `${stray} beside folders`, `add ${metadataName}`)
  if (found.folders.length > 0) return classFolders(dir, found)
  return E.right({
    listed: found.pictures.map((path) => ({ file: path, at: join(dir, path) })),
    notes: [...found.notes, ...leftOutNotes(found.leftOut)],
  })
}

/** Another spelling under which a file is there. */
const spelling = (file: string, files: readonly string[]): string | undefined => {
  const folded = (name: string): string => name.replaceAll('\\', '/').normalize('NFC').toLowerCase()
  const wanted = folded(file)
  return files.find((other) => folded(other) === wanted)
}

/** Says which line lists a file that is absent, before any picture is decoded. */
const present =
  (dir: string, files: readonly string[]) =>
  (listed: readonly Listed[]): Effect<readonly Listed[]> => {
    const known = new Set(files)
    return severally(listed, (one) =>
      effect(async (run) => {
        const { file, at } = one
        if (known.has(file)) return one
        const there = await stat(join(dir, file)).catch(() => undefined)
        if (there?.isFile() === true) return one
        const other = spelling(file, files)
        return run(
          TE.left([
            failure(
              'data',
              at,
              `the file ${join(dir, file)}`,
              there === undefined ? 'no such file' : 'something that is no file',
              other === undefined ? undefined : `did you mean ${JSON.stringify(other)}?`,
            ),
          ]),
        )
      }),
    )
  }

const byMetadata = (dir: string, { files, pictures, leftOut }: Sorted): Effect<Listing> => {
  const path = join(dir, metadataName)
  return pipe(
    readBytes(path),
    TE.flatMapEither((bytes) => parseMetadata(path, bytes)),
    TE.bindTo('metadata'),
    TE.bind('listed', ({ metadata }) => present(dir, files)(metadata.listed)),
    TE.map(({ metadata, listed }) => {
      const taken = new Set(listed.map(({ file }) => file))
      const unlisted = pictures.filter((picture) => !taken.has(picture))
      const others = leftOut.filter((one) => !taken.has(one.path))
      return {
        listed,
        notes: [
          ...metadata.notes,
          ...leftOutNotes([...others, ...unlisted.map((picture): LeftOut => ({ path: picture, reason: 'unlisted' }))]),
        ],
      }
    }),
  )
}

/** The pictures of a folder and what is known of them, in order of their paths; nothing is decoded. Errors: `data`, `file`. */
export const listFolder = (dir: string): Effect<Listing> =>
  pipe(
    sorted(dir),
    TE.flatMap((found) =>
      found.files.includes(metadataName) ? byMetadata(dir, found) : TE.fromEither(byPlace(dir, found)),
    ),
    TE.map(({ listed, notes }) => ({ listed: [...listed].sort((a, b) => byCodePoint(a.file, b.file)), notes })),
    TE.filterOrElse(
      ({ listed }) => RA.isNonEmpty(listed),
      ({ notes }): Errors => [failure('data', dir, 'pictures', ['none in the folder', ...notes].join('; '))],
    ),
  )

/** What was done to pictures so that all are alike. */
const layoutNotes = (
  names: readonly string[],
  files: readonly FileFacts[],
  { size, fit = 'cover' }: PictureOptions,
) => {
  const which = (of: (file: FileFacts) => boolean): readonly string[] =>
    names.filter((_, i) => {
      const file = files[i]
      return file !== undefined && of(file)
    })
  const says = (found: readonly string[], what: string): readonly string[] =>
    found.length === 0 ? [] : [`${several(found.length, 'picture')} ${what}${suchAs(found)}`]
  return [
    ...says(
      which(({ frames }) => frames > 1),
      'of several frames or pages: the first is taken',
    ),
    ...(fit === 'cover'
      ? says(
          which(({ width, height }) => width !== height),
          'not square: the middle is taken',
        )
      : []),
    ...says(
      which(({ width, height }) => Math.min(width, height) < size),
      `smaller than ${size}x${size}: enlarged`,
    ),
    ...says(
      which(({ alpha }) => alpha),
      'with an alpha channel: what is transparent shows white',
    ),
  ]
}

/** Pictures that are there more than once are kept together, and said. */
const copiesOf = (listed: readonly Listed[], files: readonly FileFacts[]) => {
  const groups = new Map<string, Listed[]>()
  listed.forEach((one, i) => {
    const pixels = files[i]?.pixels ?? ''
    const group = groups.get(pixels)
    if (group === undefined) groups.set(pixels, [one])
    else group.push(one)
  })
  const copied = [...groups.values()].filter((group) => group.length > 1)
  const examples = (some: readonly (readonly Listed[])[]) =>
    suchAs(
      some.map((g) =>
        g
          .slice(0, 2)
          .map(({ file }) => file)
          .join(' = '),
      ),
    )
  const torn = copied.filter((group) => new Set(group.map((one) => one.class)).size > 1)
  return [
    ...(copied.length === 0
      ? []
      : [
          `${several(copied.length, 'picture')} there more than once: the copies are trained on, or held out, together${examples(copied)}`,
        ]),
    ...(torn.length === 0 ? [] : [`${several(torn.length, 'picture')} in more than one class${examples(torn)}`]),
  ]
}

const datasetOf = (
  listed: readonly Listed[],
  notes: readonly string[],
  { files, ...decoded }: Decoded,
  options: FolderOptions,
): Dataset => {
  const classes = classesOf(listed)
  return held({
    ...decoded,
    encoding: options.encoding ?? colours,
    height: options.size,
    width: options.size,
    classes,
    about: listed.map(({ file: name, class: label, text: caption, vector, boxes }, i): About => {
      const { bytes = 0, sha256 = '', pixels = '' } = files[i] ?? {}
      return {
        name,
        bytes,
        sha256,
        group: pixels,
        ...(label === undefined ? {} : { class: label }),
        ...(caption === undefined ? {} : { caption }),
        ...(vector === undefined ? {} : { vector }),
        ...(boxes === undefined ? {} : { boxes }),
      }
    }),
    notes: [
      ...notes,
      ...alikeNotes(classes),
      ...layoutNotes(
        listed.map(({ file }) => file),
        files,
        options,
      ),
      ...copiesOf(listed, files),
    ],
  })
}

const classesOf = (listed: readonly Listed[]): readonly string[] =>
  [...new Set(listed.flatMap((one) => one.class ?? []))].sort(byCodePoint)

/** As `loadFolder`, but nothing is decoded yet. Errors: `data`, and `file` where a folder cannot be read. */
export const findFolder = (dir: string, options: FolderOptions): Effect<Found> =>
  pipe(
    listFolder(dir),
    TE.map(({ listed, notes }) => ({
      n: listed.length,
      classes: classesOf(listed),
      bytes: decodedBytes(listed.length, options, options.keep ?? keepColours),
      load: pipe(
        decodeAll(
          listed.map(({ file }) => join(dir, file)),
          options,
          options.keep,
        ),
        TE.map((decoded) => datasetOf(listed, notes, decoded, options)),
      ),
    })),
  )

/**
 * Loads a folder of pictures, `[n, 3, size, size]` in [-1, 1], in order of their paths by code point. What is known of
 * them comes from `metadata.jsonl` (lines of `{ "file_name", "text"?, "class"? }`) or, without that file, from one
 * folder a class; pictures directly in the folder have no classes. Links are followed; what is left out is in `notes`.
 * Errors: `data` (an empty folder or class, a malformed line, a listed file that is absent), `file` (an unreadable
 * picture), each with its path or line; all that stand side by side at once, ten of a kind at most.
 *
 * ```ts
 * const dataset = await loadFolder('my-pictures', { size: 64 })()
 * ```
 */
export const loadFolder = (dir: string, options: FolderOptions): Effect<Dataset> => loaded(findFolder(dir, options))
