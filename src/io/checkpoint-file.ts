import { type Checked, type Effect, fail } from '../error.ts'
import { E, pipe, TE } from '../prelude.ts'
import { openSafetensors, type TensorFile } from './safetensors.ts'
import { readSafetensors } from './safetensors-file.ts'
import { type Source, withSource } from './source.ts'
import type { StoredArrays, UnreadArrays } from './stored.ts'
import { openTorch, readTorch } from './torch/index.ts'

type Format = 'safetensors' | 'torch'

/** A safetensors file begins with its header's length, below 2^32, and `{`; a zip with `PK`, a pickle with its protocol. */
const formatOf = (first: Uint8Array, path: string): Format | undefined => {
  if (path.endsWith('.safetensors') || (first[8] === 0x7b && first.subarray(4, 8).every((b) => b === 0)))
    return 'safetensors'
  return (first[0] === 0x50 && first[1] === 0x4b) || first[0] === 0x80 ? 'torch' : undefined
}

const formatIn = (source: Source): Effect<Format> =>
  pipe(
    source.read(0, Math.min(source.size, 9)),
    TE.flatMapEither((first) => {
      const format = formatOf(first, source.path)
      return format === undefined
        ? fail(
            'file',
            source.path,
            'a safetensors file, or one of torch.save (zip or legacy)',
            first.length === 0 ? 'an empty file' : 'other bytes',
          )
        : E.right(format)
    }),
  )

const readers: { readonly [F in Format]: (path: string) => Effect<TensorFile> } = {
  safetensors: readSafetensors,
  torch: (path) =>
    pipe(
      readTorch(path),
      TE.map((tensors) => ({ tensors, metadata: {} })),
    ),
}

/**
 * Reads the named arrays of a published file, in whichever format it is: safetensors, with the texts of its header, or `torch.save` as
 * zip or legacy file, of which nothing is executed. Errors: `file`; nothing is read in part.
 */
export const readTensorFile = (path: string): Effect<TensorFile> =>
  pipe(
    withSource(path, formatIn),
    TE.flatMap((format) => readers[format](path)),
  )

/** The arrays of a published checkpoint. Errors: `file`. */
export const readCheckpointFile = (path: string): Effect<StoredArrays> =>
  pipe(
    readTensorFile(path),
    TE.map(({ tensors }) => tensors),
  )

/** A published checkpoint that is open. */
export interface CheckpointFile {
  /** Where in the file the arrays are; empty at its top. */
  readonly place: string
  readonly arrays: UnreadArrays
  /** What of it was chosen, and what left alone; for people. */
  readonly remarks: readonly string[]
}

/** Of arrays in one flat row, those whose names begin with a path. */
const below = (arrays: UnreadArrays, from: string, path: string): Checked<CheckpointFile> => {
  const found = Object.entries(arrays).filter(([name]) => name.startsWith(`${from}.`))
  const others = Object.keys(arrays).length - found.length
  const begins = [...new Set(Object.keys(arrays).flatMap((name) => name.split('.').slice(0, -1)[0] ?? []))]
  return found.length === 0
    ? fail(
        'usage',
        '--from',
        `what names of arrays in ${path} begin with`,
        JSON.stringify(from),
        begins.length === 0 ? undefined : `they begin with ${begins.slice(0, 6).join(', ')}`,
      )
    : E.right({
        place: from,
        arrays: Object.fromEntries(found.map(([name, array]) => [name.slice(from.length + 1), array])),
        remarks: [`read from ${from}`, ...(others === 0 ? [] : [`beside it, not read: ${others} arrays`])],
      })
}

const openers: { readonly [F in Format]: (source: Source, from?: string) => Effect<CheckpointFile> } = {
  safetensors: (source, from) =>
    pipe(
      openSafetensors(source),
      TE.flatMapEither((arrays) =>
        from === undefined ? E.right({ place: '', arrays, remarks: [] }) : below(arrays, from, source.path),
      ),
    ),
  torch: openTorch,
}

export interface OpenOptions {
  /** Where in the file the model's arrays are, names joined by dots; where left out, at its top or in `state_dict`. */
  readonly from?: string | undefined
}

/**
 * Opens a published checkpoint for as long as `use` takes; arrays are read when they are asked for. Errors: `file`, which offers what
 * `from` may be where that is needed; `usage`, where `from` leads to nothing.
 */
export const withCheckpointFile = <A>(
  path: string,
  { from }: OpenOptions,
  use: (file: CheckpointFile) => Effect<A>,
): Effect<A> =>
  withSource(path, (source) =>
    pipe(
      formatIn(source),
      TE.flatMap((format) => openers[format](source, from)),
      TE.flatMap(use),
    ),
  )
