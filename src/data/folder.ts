import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checked, collect, type Effect, type Errors, fail, failure, reasonOf } from '../error.ts'
import { fileEffect, readBytes } from '../io/bytes.ts'
import { byCodePoint } from '../io/names.ts'
import { E, pipe, RA, TE, t } from '../prelude.ts'
import { aboutOf, type Dataset } from './dataset.ts'
import { decodeAll, type PictureOptions } from './decode.ts'

/** A picture of a folder: its path from there, with `/` between folders, and what is said about it. */
interface Listed {
  readonly file: string
  readonly text?: string | undefined
  readonly class?: string | undefined
  /** Where it is listed, for errors. */
  readonly at: string
}

const metadataName = 'metadata.jsonl'
const pictureFile = /\.(png|jpe?g|webp|gif|avif|tiff?)$/i

const Line = t.intersection([t.type({ file_name: t.string }), t.partial({ text: t.string, class: t.string })])

const parseLine =
  (path: string) =>
  (line: string, index: number): Checked<readonly Listed[]> => {
    const at = `${path}:${index + 1}`
    if (line.trim() === '') return E.right([])
    return pipe(
      E.tryCatch(
        (): unknown => JSON.parse(line),
        (reason): Errors => [failure('data', at, 'a line of JSON', reasonOf(reason))],
      ),
      E.flatMap((value) => {
        if (!Line.is(value))
          return fail('data', at, '{ "file_name": string, "text"?: string, "class"?: string }', line.slice(0, 120))
        const { file_name: file, text, class: label } = value
        return /^([/\\]|[a-z]:)|(^|[/\\])\.\.([/\\]|$)/i.test(file)
          ? fail('data', at, 'a file inside the folder', JSON.stringify(file))
          : E.right([{ file, text, class: label, at }])
      }),
    )
  }

/** Every picture has the member, or none has. */
const checkUniform =
  (member: 'text' | 'class') =>
  (listed: readonly Listed[]): Checked<readonly Listed[]> => {
    const without = listed.filter((one) => one[member] === undefined)
    return without.length === 0 || without.length === listed.length
      ? E.right(listed)
      : collect(without.map(({ at, file }) => fail('data', at, `"${member}", as other lines have`, `none for ${file}`)))
  }

const parseMetadata =
  (path: string) =>
  (bytes: Uint8Array): Checked<readonly Listed[]> =>
    pipe(
      collect(new TextDecoder().decode(bytes).split('\n').map(parseLine(path))),
      E.map(RA.flatten),
      E.flatMap(checkUniform('text')),
      E.flatMap(checkUniform('class')),
    )

const entriesOf = (dir: string): Effect<readonly Dirent[]> =>
  fileEffect(dir, 'a folder of pictures', () => readdir(dir, { withFileTypes: true }))

const isPicture = (entry: Dirent): boolean => !entry.isDirectory() && pictureFile.test(entry.name)

const listClass =
  (dir: string) =>
  (label: string): Effect<readonly Listed[]> =>
    pipe(
      entriesOf(join(dir, label)),
      TE.flatMapEither((entries) => {
        const pictures = entries.filter(isPicture)
        return pictures.length === 0
          ? fail('data', join(dir, label), 'pictures of the class', 'none')
          : E.right(
              pictures.map(({ name }) => ({ file: `${label}/${name}`, class: label, at: join(dir, label, name) })),
            )
      }),
    )

/** One folder a class, or pictures without classes. */
const listFolder =
  (dir: string) =>
  (entries: readonly Dirent[]): Effect<readonly Listed[]> => {
    const pictures = entries.filter(isPicture)
    const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    const [stray] = pictures
    if (folders.length === 0) return TE.right(pictures.map(({ name }) => ({ file: name, at: join(dir, name) })))
    return stray === undefined
      ? pipe(
          folders.map(({ name }) => name),
          TE.traverseSeqArray(listClass(dir)),
          TE.map(RA.flatten),
        )
      : TE.left([
          failure('data', dir, 'pictures in one folder a class', `${stray.name} beside folders`, `add ${metadataName}`),
        ])
  }

const listPictures = (dir: string): Effect<readonly Listed[]> =>
  pipe(
    entriesOf(dir),
    TE.flatMap((entries) =>
      entries.some(({ name }) => name === metadataName)
        ? pipe(readBytes(join(dir, metadataName)), TE.flatMapEither(parseMetadata(join(dir, metadataName))))
        : listFolder(dir)(entries),
    ),
    TE.map((listed) => [...listed].sort((a, b) => byCodePoint(a.file, b.file))),
    TE.filterOrElse(RA.isNonEmpty, (): Errors => [failure('data', dir, 'pictures', 'none in the folder')]),
  )

/** Says which line lists a file that is absent, before any picture is decoded. */
const checkPresent =
  (dir: string) =>
  (listed: readonly Listed[]): Effect<readonly Listed[]> =>
    pipe(
      fileEffect(dir, 'a folder of pictures', () => readdir(dir, { recursive: true })),
      TE.flatMapEither((names) => {
        const present = new Set(names.map((name) => name.replaceAll('\\', '/')))
        return collect(
          listed.map((one) =>
            present.has(one.file.replace(/^(\.\/)+/, ''))
              ? E.right(one)
              : fail('data', one.at, `the file ${join(dir, one.file)}`, 'no such file'),
          ),
        )
      }),
    )

const present = (texts: readonly (string | undefined)[]): readonly string[] | undefined => {
  const known = texts.filter((text) => text !== undefined)
  return known.length === 0 ? undefined : known
}

/**
 * Loads a folder of pictures, `[n, 3, size, size]` in [-1, 1], in order of their paths by code point. What is known of
 * them comes from `metadata.jsonl` (lines of `{ "file_name", "text"?, "class"? }`) or, without that file, from one
 * folder a class; pictures directly in the folder have no classes.
 * Errors: `data` (an empty folder or class, a malformed line, a listed file that is absent), `file` (an unreadable
 * picture), each with its path or line; all that stand side by side at once.
 */
export const loadFolder = (dir: string, options: PictureOptions): Effect<Dataset> =>
  pipe(
    listPictures(dir),
    TE.flatMap(checkPresent(dir)),
    TE.bindTo('listed'),
    TE.bind('decoded', ({ listed }) =>
      decodeAll(
        listed.map(({ file }) => join(dir, file)),
        options,
      ),
    ),
    TE.map(({ listed, decoded: { files, ...decoded } }) => {
      const captions = present(listed.map(({ text }) => text))
      const named = present(listed.map((one) => one.class))
      const classes = [...new Set(named)].sort(byCodePoint)
      const indexOf = new Map(classes.map((name, i) => [name, i]))
      const known = {
        names: listed.map(({ file }) => file),
        classes,
        ...(named === undefined ? {} : { labels: Int32Array.from(named, (name) => indexOf.get(name) ?? 0) }),
        ...(captions === undefined ? {} : { captions }),
      }
      return {
        ...decoded,
        ...known,
        n: listed.length,
        about: aboutOf({ ...known, files }),
        channels: 3,
        height: options.size,
        width: options.size,
      }
    }),
  )
