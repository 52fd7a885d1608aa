import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Effect, fail } from '../error.ts'
import { fileEffect, readBytes } from '../io/bytes.ts'
import { byCodePoint } from '../io/names.ts'
import { pipe, RA, TE, t } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { CaseFile } from './case.ts'
import { parsePythonJson } from './python-json.ts'

/** Finds the cases of a fixture folder: what its `index.json` files list, and what lies there beside them. */

const FolderIndex = t.record(t.string, t.array(t.type({ file: t.string })))
const AreaIndex = t.type({ files: t.UnknownRecord })
const indexFile = 'index.json'

const entries = (path: string): Effect<readonly { readonly name: string; readonly folder: boolean }[]> =>
  fileEffect(path, 'a folder of fixtures', async () =>
    (await readdir(path, { withFileTypes: true })).map((e) => ({ name: e.name, folder: e.isDirectory() })),
  )

/** An index, or undefined where there is none. */
const index = (folder: string, names: readonly string[]): Effect<unknown> =>
  names.includes(indexFile)
    ? pipe(
        readBytes(join(folder, indexFile)),
        TE.flatMapEither((bytes) => parsePythonJson(new TextDecoder().decode(bytes), join(folder, indexFile))),
      )
    : TE.right(undefined)

const isCase = (name: string): boolean =>
  /\.(safetensors|json|ckpt|pt|pth)$/.test(name) && name !== indexFile && !/\.expected\.safetensors$/.test(name)

const casesOf = (root: string, listed: unknown, area: string): Effect<readonly CaseFile[]> => {
  const folder = join(root, area)
  const inRoot = FolderIndex.is(listed) ? (listed[area] ?? []).map(({ file }) => file) : []
  return pipe(
    entries(folder),
    TE.map(RA.map(({ name }) => name)),
    TE.flatMap((names) =>
      pipe(
        index(folder, names),
        TE.map((own) => {
          const verdicts = AreaIndex.is(own) ? own.files : {}
          const files = new Set([...names, ...inRoot, ...Object.keys(verdicts)].filter(isCase))
          return [...files].sort(byCodePoint).map(
            (file): CaseFile => ({
              area,
              file,
              path: join(folder, file),
              ...(file in verdicts ? { verdict: verdicts[file] } : {}),
            }),
          )
        }),
      ),
    ),
  )
}

/** The area whose cases are folders: it lies among the others, or beside them all. */
const pipelines = 'pipelines'
const pipelinesIn = (root: string, areas: readonly string[]): Effect<string | undefined> => {
  const beside = join(root, '..', pipelines)
  return areas.includes(pipelines)
    ? TE.right(join(root, pipelines))
    : pipe(
        entries(beside),
        TE.match(
          () => undefined,
          (found): string | undefined => (found.some(({ name }) => name === indexFile) ? beside : undefined),
        ),
        TE.fromTask,
      )
}

/** Every folder that says of itself what it is, and the tables of the tokenizers. */
const pipelineCases = (folder: string): Effect<readonly CaseFile[]> =>
  pipe(
    entries(folder),
    TE.flatMap(
      TE.traverseSeqArray(({ name, folder: isFolder }) =>
        isFolder
          ? pipe(
              entries(join(folder, name)),
              TE.map((found) => found.map((entry) => ({ ...entry, inside: name }))),
            )
          : TE.right([]),
      ),
    ),
    TE.map((folders) =>
      folders
        .flat()
        .filter(
          ({ name, folder: isFolder, inside }) =>
            !isFolder && (name === 'case.json' || (inside === 'tokenizers' && name.endsWith('.json'))),
        )
        .map(({ name, inside }) => ({
          area: pipelines,
          file: name === 'case.json' ? inside : `${inside}/${name}`,
          path: join(folder, inside, name),
        }))
        .sort((a, b) => byCodePoint(a.file, b.file)),
    ),
  )

/** The cases of all areas of a folder, or of one. Errors: `file` for a missing folder, `usage` for an area it lacks. */
export const findCases = (root: string, area?: string): Effect<readonly CaseFile[]> =>
  pipe(
    entries(root),
    TE.bindTo('found'),
    TE.bind('listed', ({ found }) =>
      index(
        root,
        found.map(({ name }) => name),
      ),
    ),
    TE.bind('apart', ({ found }) =>
      pipelinesIn(
        root,
        found.flatMap(({ name, folder }) => (folder ? [name] : [])),
      ),
    ),
    TE.flatMap(({ found, listed, apart }) => {
      const own = found.flatMap(({ name, folder }) => (folder && name !== pipelines ? [name] : []))
      const areas = [...own, ...(apart === undefined ? [] : [pipelines])].sort(byCodePoint)
      if (area !== undefined && !areas.includes(area))
        return TE.fromEither(
          fail('usage', '--area', areas.map((a) => `"${a}"`).join(' | '), `"${area}"`, didYouMean(area, areas)),
        )
      return pipe(
        areas.filter((a) => area === undefined || a === area),
        TE.traverseSeqArray((a) =>
          a === pipelines && apart !== undefined ? pipelineCases(apart) : casesOf(root, listed, a),
        ),
        TE.map(RA.flatten),
      )
    }),
  )
