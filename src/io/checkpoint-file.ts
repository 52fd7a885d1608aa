import { type Effect, fail } from '../error.ts'
import { pipe, TE } from '../prelude.ts'
import { readSafetensors } from './safetensors.ts'
import type { StoredArrays } from './stored.ts'
import { readTorch } from './torch/index.ts'
import { withSource } from './torch/source.ts'

type Format = 'safetensors' | 'torch'

/** A safetensors file begins with its header's length, below 2^32, and `{`; a zip with `PK`, a pickle with its protocol. */
const formatOf = (first: Uint8Array, path: string): Format | undefined => {
  if (path.endsWith('.safetensors') || (first[8] === 0x7b && first.subarray(4, 8).every((b) => b === 0)))
    return 'safetensors'
  return (first[0] === 0x50 && first[1] === 0x4b) || first[0] === 0x80 ? 'torch' : undefined
}

const readers: { readonly [F in Format]: (path: string) => Effect<StoredArrays> } = {
  safetensors: (path) =>
    pipe(
      readSafetensors(path),
      TE.map(({ tensors }) => tensors),
    ),
  torch: (path) => readTorch(path),
}

/**
 * Reads the named arrays of a published checkpoint, in whichever format it is: safetensors, or `torch.save` as zip or
 * legacy file, of which nothing is executed. Errors: `file`; nothing is read in part.
 */
export const readCheckpointFile = (path: string): Effect<StoredArrays> =>
  pipe(
    withSource(path, ({ size, read }) => read(0, Math.min(size, 9))),
    TE.flatMap((first) => {
      const format = formatOf(first, path)
      return format === undefined
        ? TE.fromEither(
            fail(
              'file',
              path,
              'a safetensors file, or one of torch.save (zip or legacy)',
              first.length === 0 ? 'an empty file' : 'other bytes',
            ),
          )
        : readers[format](path)
    }),
  )
