import { realpath } from 'node:fs/promises'
import { type Effect, effect } from '../error.ts'
import { type FileArray, type FileArrays, type FileElement, floats } from '../execute/executor.ts'
import { pipe, TE } from '../prelude.ts'
import { fileEffect } from './bytes.ts'
import { openSafetensors } from './safetensors.ts'
import { readPart, withSource } from './source.ts'
import { elementsOf, storedFormats, type UnreadArray, type UnreadArrays } from './stored.ts'

/** Arrays of files as executors take them, which read them where they lie. */

type Place = NonNullable<UnreadArray['place']>
const elements: ReadonlyMap<string, FileElement> = new Map([
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
])

const fileArray = ({ dtype, shape, bytes }: UnreadArray, { position }: Place, path: string): FileArray | undefined => {
  const [element, format] = [elements.get(dtype), storedFormats.get(dtype)]
  if (element === undefined || format === undefined || bytes !== elementsOf(shape) * format.itemBytes) return undefined
  return {
    ...{ path, position, element, shape },
    read: pipe(
      readPart(path, position, bytes),
      TE.map((read) => {
        const { data } = format.read(read, shape)
        return floats(shape, data instanceof Float32Array ? data : Float32Array.from<number | bigint>(data, Number))
      }),
    ),
  }
}

/** Arrays of files, those that an executor takes where they lie apart from the rest. */
export interface FiledArrays {
  readonly files: FileArrays
  /** Those that do not lie as an executor could take them: of other types, views, in legacy files. */
  readonly others: UnreadArrays
}

/** Sorts arrays by whether executors can take them from their files, which may be closed then. Errors: `file`. */
export const filedArrays = (arrays: UnreadArrays): Effect<FiledArrays> =>
  effect(async (run) => {
    const paths = new Map<string, string>()
    for (const { place } of Object.values(arrays))
      if (place !== undefined && !paths.has(place.path))
        paths.set(place.path, await run(fileEffect(place.path, 'a readable file', () => realpath(place.path))))
    const sorted = Object.entries(arrays).map(([name, array]) => {
      const { place } = array
      return { name, array, file: place && fileArray(array, place, paths.get(place.path) ?? place.path) }
    })
    return {
      files: Object.fromEntries(sorted.flatMap(({ name, file }) => (file === undefined ? [] : [[name, file]]))),
      others: Object.fromEntries(
        sorted.flatMap(({ name, array, file }) => (file === undefined ? [[name, array]] : [])),
      ),
    }
  })

/** The arrays of floating-point numbers of a safetensors file, by name; only its header is read. Errors: `file`. */
export const fileArrays = (path: string): Effect<FileArrays> =>
  pipe(
    withSource(path, openSafetensors),
    TE.flatMap(filedArrays),
    TE.map(({ files }) => files),
  )
