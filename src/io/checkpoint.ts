import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checked, type Effect, type Errors, fail, failure, reasonOf } from '../error.ts'
import { E, pipe, RA, RR, TE, t } from '../prelude.ts'
import { type FolderContent, writeFolderAtomic } from './atomic.ts'
import { fileEffect, readBytes, sha256 } from './bytes.ts'
import { isPlainName } from './names.ts'
import { parseSafetensors } from './safetensors.ts'
import { safetensorsContent, type UnwrittenArrays, unwritten } from './safetensors-writer.ts'
import type { StoredArrays } from './stored.ts'

/** JSON; numbers are finite. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** What a run needs to go on: arrays in named groups (weights, moments, EMA), and facts about the run. */
export interface Checkpoint {
  readonly step: number
  readonly groups: Readonly<Record<string, StoredArrays>>
  readonly meta: { readonly [key: string]: Json }
}
/** One whose arrays are made, or read, as they are written. */
export interface UnwrittenCheckpoint extends Pick<Checkpoint, 'step' | 'meta'> {
  readonly groups: Readonly<Record<string, UnwrittenArrays>>
}

const manifestName = 'manifest.json'
const suffix = '.safetensors'

const Json: t.Type<Json> = t.recursion('Json', () =>
  t.union([t.null, t.boolean, t.number, t.string, t.readonlyArray(Json), t.record(t.string, Json)]),
)

const Contents = t.type({
  format: t.literal('latentgraph-checkpoint'),
  version: t.literal(1),
  step: t.number,
  files: t.record(t.string, t.type({ sha256: t.string, bytes: t.number })),
  meta: t.record(t.string, Json),
})
type Contents = t.TypeOf<typeof Contents>
const Manifest = t.type({ sha256: t.string })

/** The manifest also seals itself: `sha256` of its other members as compact JSON. */
const encodeManifest = (contents: Contents): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify({ ...contents, sha256: sha256(JSON.stringify(contents)) }, null, 2)}\n`)

const decodeManifest =
  (at: string) =>
  (bytes: Uint8Array): Checked<Contents> =>
    pipe(
      E.tryCatch(
        (): unknown => JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
        (reason): Errors => [failure('file', at, 'a manifest in JSON', reasonOf(reason))],
      ),
      E.flatMap((value) => {
        if (!Manifest.is(value)) return fail('file', at, 'a checkpoint manifest with its sha256', 'another document')
        const { sha256: sealed, ...contents } = value
        const found = sha256(JSON.stringify(contents))
        if (found !== sealed) return fail('file', at, `contents of sha256 ${sealed}`, found, 'the manifest was changed')
        return Contents.is(contents)
          ? E.right(contents)
          : fail('file', at, 'a manifest of latentgraph-checkpoint version 1', 'another format or version')
      }),
    )

/** The folder of a step's checkpoint within its run: `step-00001234`. */
export const checkpointName = (step: number): string => `step-${String(step).padStart(8, '0')}`

/**
 * Writes a checkpoint folder: one safetensors file a group, and `manifest.json` with their SHA-256.
 * The folder appears whole or not at all. Errors: `file`.
 */
export const writeCheckpoint = (dir: string, { step, groups, meta }: UnwrittenCheckpoint): Effect<void> =>
  pipe(
    Object.entries(groups),
    E.traverseArray(([group, arrays]) =>
      isPlainName(group)
        ? pipe(
            safetensorsContent(arrays),
            E.map((content): readonly [string, FolderContent] => [`${group}${suffix}`, content]),
          )
        : fail('file', dir, 'group names of letters, digits, ., _ and -', JSON.stringify(group)),
    ),
    TE.fromEither,
    TE.flatMap((files) => {
      const manifest: FolderContent = (written) =>
        encodeManifest({ format: 'latentgraph-checkpoint', version: 1, step, files: written, meta })
      return writeFolderAtomic(dir, Object.fromEntries([...files, [manifestName, manifest]]))
    }),
  )
export const saveCheckpoint = (dir: string, { groups, ...rest }: Checkpoint): Effect<void> =>
  writeCheckpoint(dir, { ...rest, groups: RR.map(unwritten)(groups) })

const loadGroup =
  (dir: string) =>
  ([name, listed]: readonly [string, Contents['files'][string]]): Effect<readonly [string, StoredArrays]> => {
    if (!isPlainName(name) || !name.endsWith(suffix))
      return TE.left([failure('file', dir, `files named <group>${suffix}`, JSON.stringify(name))])
    const path = join(dir, name)
    return pipe(
      readBytes(path),
      TE.flatMapEither((bytes) => {
        const found = sha256(bytes)
        return bytes.length === listed.bytes && found === listed.sha256
          ? parseSafetensors(bytes, path)
          : fail(
              'file',
              path,
              `${listed.bytes} bytes of sha256 ${listed.sha256}, as ${manifestName} says`,
              `${bytes.length} bytes of sha256 ${found}`,
              'the file was changed or damaged after it was written',
            )
      }),
      TE.map(({ tensors }) => [name.slice(0, -suffix.length), tensors]),
    )
  }

/** Reads a checkpoint folder, or of its groups those that are wanted, and verifies every byte that it reads. Errors: `file`. */
export const loadCheckpoint = (dir: string, wanted?: readonly string[]): Effect<Checkpoint> =>
  pipe(
    readBytes(join(dir, manifestName)),
    TE.flatMapEither(decodeManifest(join(dir, manifestName))),
    TE.flatMap(({ step, files, meta }) =>
      pipe(
        Object.entries(files),
        RA.filter(([name]) => wanted === undefined || wanted.some((group) => name === `${group}${suffix}`)),
        TE.traverseSeqArray(loadGroup(dir)),
        TE.map((groups) => ({ step, groups: Object.fromEntries(groups), meta })),
      ),
    ),
  )

/** What tells a checkpoint from every other: the SHA-256 of its manifest, which has those of its files. Errors: `file`. */
export const checkpointDigest = (dir: string): Effect<string> =>
  pipe(readBytes(join(dir, manifestName)), TE.map(sha256))

export interface CheckpointPlace {
  readonly path: string
  readonly step: number
}

/** A run's `step-00001234` folders, the latest first. Errors: `file`. */
export const checkpointsIn = (runDir: string): Effect<readonly CheckpointPlace[]> =>
  pipe(
    fileEffect(runDir, 'the folder of a run', () => readdir(runDir, { withFileTypes: true })),
    TE.map((entries) =>
      entries
        .flatMap((entry) => {
          const digits = /^step-(\d{8,})$/.exec(entry.name)?.[1]
          return entry.isDirectory() && digits !== undefined
            ? [{ path: join(runDir, entry.name), step: Number(digits) }]
            : []
        })
        .sort((a, b) => b.step - a.step),
    ),
  )
