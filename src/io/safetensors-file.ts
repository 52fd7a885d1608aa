import type { Effect } from '../error.ts'
import { pipe, TE } from '../prelude.ts'
import { readBytes } from './bytes.ts'
import { parseSafetensors, type TensorFile } from './safetensors.ts'

/** Reads a safetensors file. Errors: `file`. */
export const readSafetensors = (path: string): Effect<TensorFile> =>
  pipe(
    readBytes(path),
    TE.flatMapEither((bytes) => parseSafetensors(bytes, path)),
  )
