import { type Checked, collect, type Effect, effect, fail } from '../../error.ts'
import { E, pipe, RA, RR, TE } from '../../prelude.ts'
import {
  elementsOf,
  type StoredArray,
  type StoredArrays,
  storedFormats,
  type UnreadArray,
  type UnreadArrays,
} from '../stored.ts'
import { type ElementType, quoted, type TorchStorage, type TorchTensor, type TorchValue } from './values.ts'

/** The data of a storage in a file. */
export interface StoredData {
  readonly bytes: number
  readonly read: Effect<Uint8Array>
}

/** A torch file: its value, the storages it names, and the data that lies in it. */
export interface TorchContent {
  readonly path: string
  readonly fileBytes: number
  readonly value: TorchValue
  readonly storages: ReadonlyMap<string, TorchStorage>
  /** The names of code in it that mean nothing here. */
  readonly foreign: ReadonlySet<string>
  readonly data: ReadonlyMap<string, StoredData>
}

export type TorchTensors = Readonly<Record<string, TorchTensor>>

/** Every storage that is named must be there, in the length that is said of it. */
export const checkStorages = ({ path, storages, data }: TorchContent): Checked<unknown> =>
  collect(
    [...storages.values()].map(({ key, type: { dtype, itemBytes }, elements }) => {
      const found = data.get(key)
      const wanted = `${elements} elements of ${dtype} in storage ${quoted(key)}`
      if (found === undefined) return fail('file', path, wanted, 'no such storage')
      return Math.floor(found.bytes / itemBytes) === elements
        ? E.right(found)
        : fail('file', path, wanted, `${found.bytes} bytes`)
    }),
  )

/** What a file may ask for: this much, and so many times its own size. Views may repeat elements, members may be compressed. */
const allowedBytes = 2 ** 26
const allowedGrowth = 16
/** Narrow elements are widened. */
const widestOf = ({ itemBytes }: ElementType): number => Math.max(4, itemBytes)

const checkSize = ({ path, fileBytes, data }: TorchContent, tensors: readonly TorchTensor[]): Checked<unknown> => {
  const storages = new Set(tensors.map(({ storage }) => storage))
  const read = [...storages].reduce((n, { key }) => n + (data.get(key)?.bytes ?? 0), 0)
  const made = tensors.reduce((n, { shape, type }) => n + elementsOf(shape) * widestOf(type), 0)
  const allowed = allowedBytes + allowedGrowth * fileBytes
  return read + made <= allowed
    ? E.right(tensors)
    : fail('file', path, `arrays of at most ${allowed} bytes in a file of ${fileBytes}`, `${read + made} bytes`)
}

const isContiguous = ({ shape, strides }: TorchTensor): boolean => {
  const wanted = RA.scanRight(1, (n: number, below: number) => n * below)(shape).slice(1)
  return shape.every((n, i) => n <= 1 || strides[i] === wanted[i])
}

/** The elements of a view, row by row. */
const gathered = (bytes: Uint8Array, { offset, shape, strides, type: { itemBytes } }: TorchTensor): Uint8Array => {
  const out = new Uint8Array(elementsOf(shape) * itemBytes)
  const index = shape.map(() => 0)
  let from = offset
  for (let to = 0; to < out.length; to += itemBytes) {
    for (let b = 0; b < itemBytes; b++) out[to + b] = bytes[from * itemBytes + b] ?? 0
    for (let d = shape.length - 1; d >= 0; d--) {
      const [i, n, stride] = [index[d] ?? 0, shape[d] ?? 1, strides[d] ?? 0]
      index[d] = i + 1 < n ? i + 1 : 0
      from += i + 1 < n ? stride : -i * stride
      if (i + 1 < n) break
    }
  }
  return out
}

const arrayOf = (bytes: Uint8Array, tensor: TorchTensor, at: string): Checked<StoredArray> => {
  const { offset, shape, type } = tensor
  const format = storedFormats.get(type.dtype)
  if (format === undefined)
    return fail('file', at, `a tensor of ${[...storedFormats.keys()].join(', ')}`, quoted(type.dtype))
  const { itemBytes } = format
  return E.right(
    format.read(
      isContiguous(tensor)
        ? bytes.subarray(offset * itemBytes, (offset + elementsOf(shape)) * itemBytes)
        : gathered(bytes, tensor),
      shape,
    ),
  )
}

/** The data of the storage that was read last: views of one storage mostly follow each other. */
const storageReader = (content: TorchContent): ((key: string) => Effect<Uint8Array>) => {
  const last: { key?: string; bytes: Uint8Array } = { bytes: new Uint8Array() }
  return (key) =>
    last.key === key
      ? TE.right(last.bytes)
      : pipe(
          content.data.get(key)?.read ?? TE.right(new Uint8Array()),
          TE.map((bytes) => Object.assign(last, { key, bytes }).bytes),
        )
}

/**
 * The tensors of a file as arrays to be read: row-major, narrow types wide. Contiguous ones will be views of their storage.
 * What all of them need is reckoned before any memory is taken. Errors: `file`.
 */
export const unreadTensors = (content: TorchContent, tensors: TorchTensors): Checked<UnreadArrays> =>
  pipe(
    checkSize(content, Object.values(tensors)),
    E.map(() => {
      const read = storageReader(content)
      return pipe(
        tensors,
        RR.mapWithIndex(
          (name, tensor: TorchTensor): UnreadArray => ({
            dtype: tensor.type.dtype,
            shape: tensor.shape,
            bytes: elementsOf(tensor.shape) * tensor.type.itemBytes,
            read: pipe(
              read(tensor.storage.key),
              TE.flatMapEither((bytes) => arrayOf(bytes, tensor, `${content.path}: ${quoted(name)}`)),
            ),
          }),
        ),
      )
    }),
  )

/** Reads all of them, each storage once. Errors: `file`. */
export const readTensors = (content: TorchContent, tensors: TorchTensors): Effect<StoredArrays> =>
  effect(async (run) => {
    const unread = await run(TE.fromEither(unreadTensors(content, tensors)))
    const places = new Map([...content.storages.keys()].map((key, i) => [key, i]))
    const placeOf = (name: string): number => places.get(tensors[name]?.storage.key ?? '') ?? -1
    const found = new Map<string, StoredArray>()
    for (const name of Object.keys(tensors).sort((a, b) => placeOf(a) - placeOf(b))) {
      const array = unread[name]
      if (array !== undefined) found.set(name, await run(array.read))
    }
    return Object.fromEntries(
      Object.keys(tensors).flatMap((name) => {
        const array = found.get(name)
        return array === undefined ? [] : [[name, array] as const]
      }),
    )
  })
