import { type Checked, type Effect, type Errors, effect, fail, failure } from '../error.ts'
import { E, pipe, RA, TE, t } from '../prelude.ts'
import type { Source } from './source.ts'
import {
  elementsOf,
  type StoredArray,
  type StoredArrays,
  storedFormats,
  type UnreadArray,
  type UnreadArrays,
} from './stored.ts'
import { parseStrictJson } from './strict-json.ts'

/** A safetensors file: named arrays, and free text about them. */
export interface TensorFile {
  readonly tensors: StoredArrays
  readonly metadata: Readonly<Record<string, string>>
}

/** The limit of the official parser. */
const headerLimit = 100_000_000
/** Bytes of the header's length. */
export const lengthBytes = 8
export const metadataKey = '__metadata__'

const natural = t.refinement(t.number, Number.isSafeInteger)
const TensorInfo = t.type({
  dtype: t.string,
  shape: t.readonlyArray(natural),
  data_offsets: t.tuple([natural, natural]),
})
const Header = t.UnknownRecord
const Metadata = t.record(t.string, t.string)

/** An array as the header has it; begin and end count from the header's end. */
interface Entry {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

/** How long the header is, from a file's first bytes. */
const headerBytes = (first: Uint8Array, size: number, at: string): Checked<number> => {
  if (size < lengthBytes)
    return fail('file', at, `a safetensors file of at least ${lengthBytes} bytes`, `${size} bytes`)
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true)
  if (length > headerLimit) return fail('file', at, `a header of at most ${headerLimit} bytes`, `${length} bytes`)
  return lengthBytes + Number(length) > size
    ? fail('file', at, `a header of ${length} bytes`, `${size - lengthBytes} bytes to the file's end`)
    : E.right(Number(length))
}

const decodeHeader = (header: Uint8Array, at: string): Checked<string> =>
  pipe(
    E.tryCatch(
      () => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header),
      (): Errors => [failure('file', at, 'a header in UTF-8', 'other bytes')],
    ),
    E.filterOrElse(
      (text) => text.startsWith('{'),
      (text): Errors => [failure('file', at, 'a header that begins with {', JSON.stringify(text.slice(0, 20)))],
    ),
  )

export const excerpt = (value: unknown): string => String(JSON.stringify(value)).slice(0, 120)

const parseEntry =
  (at: string) =>
  ([name, info]: readonly [string, unknown]): Checked<Entry> => {
    const place = `${at}: ${name}`
    if (!TensorInfo.is(info) || info.shape.some((size) => size < 0) || info.data_offsets.some((offset) => offset < 0))
      return fail('file', place, '{ dtype, shape, data_offsets: [begin, end] } in natural numbers', excerpt(info))
    const { dtype, shape } = info
    const [begin, end] = info.data_offsets
    const format = storedFormats.get(dtype)
    if (format === undefined)
      return begin <= end
        ? E.right({ name, dtype, shape, begin, end })
        : fail('file', place, 'data that ends behind its beginning', `from ${begin} to ${end}`)
    const sizes = RA.scanLeft(1, (n, size: number) => n * size)(shape)
    if (!sizes.every((n) => n * format.itemBytes <= Number.MAX_SAFE_INTEGER))
      return fail('file', place, `fewer than 2^53 bytes`, `${dtype} of shape ${excerpt(shape)}`)
    const size = elementsOf(shape) * format.itemBytes
    return end - begin === size
      ? E.right({ name, dtype, shape, begin, end })
      : fail(
          'file',
          place,
          `${size} bytes for ${dtype} of shape ${excerpt(shape)}`,
          `${end - begin} bytes, from ${begin} to ${end}`,
        )
  }

/** The arrays must cover the data, each byte once. */
const checkCover =
  (dataBytes: number, at: string) =>
  (entries: readonly Entry[]): Checked<readonly Entry[]> => {
    const inOrder = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)
    const ends = [0, ...inOrder.map(({ end }) => end)]
    const broken = inOrder.findIndex(({ begin }, i) => begin !== ends[i])
    const entry = inOrder[broken]
    if (entry !== undefined)
      return fail('file', `${at}: ${entry.name}`, `data from byte ${ends[broken]} on`, `from ${entry.begin} on`)
    const covered = inOrder.at(-1)?.end ?? 0
    return covered === dataBytes
      ? E.right(entries)
      : fail('file', at, `${covered} bytes of data, as the header says`, `${dataBytes} bytes`)
  }

const parseMetadata = (metadata: unknown, at: string): Checked<Readonly<Record<string, string>>> => {
  const given = metadata ?? {}
  return Metadata.is(given)
    ? E.right(given)
    : fail('file', `${at}: ${metadataKey}`, 'an object whose values are strings', excerpt(metadata))
}

interface FileHeader {
  readonly metadata: Readonly<Record<string, string>>
  readonly entries: readonly Entry[]
}

const parseHeader = (bytes: Uint8Array, dataBytes: number, at: string): Checked<FileHeader> =>
  pipe(
    E.Do,
    E.bind('text', () => decodeHeader(bytes, at)),
    E.bind('value', ({ text }) => parseStrictJson(text, at)),
    E.bind('header', ({ value }) =>
      Header.is(value) && !Array.isArray(value)
        ? E.right(value)
        : fail('file', at, 'a header that is an object', excerpt(value)),
    ),
    E.bind('metadata', ({ header }) => parseMetadata(header[metadataKey], at)),
    E.bind('entries', ({ header }) =>
      pipe(
        Object.entries(header).filter(([name]) => name !== metadataKey),
        E.traverseArray(parseEntry(at)),
        E.flatMap(checkCover(dataBytes, at)),
      ),
    ),
  )

const decoded = ({ name, dtype, shape }: Entry, at: string, bytes: Uint8Array): Checked<StoredArray> => {
  const format = storedFormats.get(dtype)
  return format === undefined
    ? fail(
        'file',
        `${at}: ${name}`,
        `an array of dtype ${[...storedFormats.keys()].join(', ')}`,
        JSON.stringify(dtype.slice(0, 120)),
      )
    : E.right(format.read(bytes, shape))
}

/**
 * Reads a safetensors file's bytes; `at` names the file in errors. As strict as the official parser
 * (github.com/huggingface/safetensors, `SafeTensors::deserialize`): no duplicate key, no gap, no overlap, no byte
 * too many. F16, BF16 and F8 widen to float32, small integers to int32, U32 to int64, all exactly.
 * The arrays are views into `bytes` where these are aligned. Errors: `file`, the first one met.
 */
export const parseSafetensors = (bytes: Uint8Array, at: string): Checked<TensorFile> =>
  pipe(
    E.Do,
    E.bind('length', () => headerBytes(bytes, bytes.length, at)),
    E.let('data', ({ length }) => bytes.subarray(lengthBytes + length)),
    E.bind('header', ({ length, data }) =>
      parseHeader(bytes.subarray(lengthBytes, lengthBytes + length), data.length, at),
    ),
    E.bind('tensors', ({ header, data }) =>
      pipe(
        header.entries,
        E.traverseArray((entry) =>
          pipe(
            decoded(entry, at, data.subarray(entry.begin, entry.end)),
            E.map((array) => [entry.name, array] as const),
          ),
        ),
      ),
    ),
    E.map(({ header, tensors }) => ({ metadata: header.metadata, tensors: Object.fromEntries(tensors) })),
  )

/**
 * Reads a safetensors file's header, as strictly; of its arrays each one when it is asked for. One of a dtype that is not known
 * is there, and cannot be read. Errors: `file`.
 */
export const openSafetensors = (source: Source): Effect<UnreadArrays> =>
  effect(async (run) => {
    const { path, size, read } = source
    const first = await run(read(0, Math.min(size, lengthBytes)))
    const length = await run(TE.fromEither(headerBytes(first, size, path)))
    const start = lengthBytes + length
    const { entries } = await run(TE.fromEither(parseHeader(await run(read(lengthBytes, length)), size - start, path)))
    const unread = (entry: Entry): UnreadArray => ({
      dtype: entry.dtype,
      shape: entry.shape,
      bytes: entry.end - entry.begin,
      place: { path, position: start + entry.begin },
      read: pipe(
        storedFormats.has(entry.dtype)
          ? read(start + entry.begin, entry.end - entry.begin)
          : TE.right(new Uint8Array()),
        TE.flatMapEither((bytes) => decoded(entry, path, bytes)),
      ),
    })
    return Object.fromEntries(entries.map((entry) => [entry.name, unread(entry)]))
  })
