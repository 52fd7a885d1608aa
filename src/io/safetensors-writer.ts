import { type Checked, type Effect, fail } from '../error.ts'
import { own } from '../execute/feeds.ts'
import { bfloatBits, floatToHalfBits, mapBits } from '../graph/half.ts'
import { E, pipe, RA, TE } from '../prelude.ts'
import { type Content, type Written, writeContentAtomic } from './atomic.ts'
import { byCodePoint, hasLoneSurrogate } from './names.ts'
import { excerpt, lengthBytes, metadataKey } from './safetensors.ts'
import { elementsOf, type StoredArray, type StoredArrays, type StoredDtype, storedCodes } from './stored.ts'

/** What arrays are written as: what they are, or 16 bits that are nearest to their single precision. */
export type WrittenDtype = StoredDtype | 'float16' | 'bfloat16'
/** Numbers of 16 bits as they are. */
export interface HalfArray {
  readonly dtype: 'float16' | 'bfloat16'
  readonly shape: readonly number[]
  readonly data: Uint16Array
}
/** An array that is made, or read, when its turn to be written comes. */
export interface UnwrittenArray {
  readonly dtype: WrittenDtype
  readonly shape: readonly number[]
  readonly read: Effect<StoredArray | HalfArray>
}
/** Arrays that are going to be written, by name. */
export type UnwrittenArrays = Readonly<Record<string, UnwrittenArray>>
type Texts = Readonly<Record<string, string>>

/** Stored arrays as what a writer takes: each is read when its turn comes. */
export const unwritten = (arrays: StoredArrays): UnwrittenArrays =>
  Object.fromEntries(
    Object.entries(arrays).map(([name, array]) => [
      name,
      { dtype: array.dtype, shape: array.shape, read: TE.right(array) },
    ]),
  )

const codes: Readonly<Record<WrittenDtype, { readonly code: string; readonly itemBytes: number }>> = {
  ...storedCodes,
  float16: { code: 'F16', itemBytes: 2 },
  bfloat16: { code: 'BF16', itemBytes: 2 },
}

type Entry = readonly [name: string, array: UnwrittenArray]
const writable = ([name, array]: Entry): Checked<Entry> =>
  name === metadataKey || hasLoneSurrogate(name)
    ? fail('file', name, `a tensor name in Unicode other than ${metadataKey}`, JSON.stringify(name))
    : E.right([name, array])

const bytesOf = ({ data }: { readonly data: ArrayBufferView }): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
const narrowed = (data: Float32Array, narrow: (bits: number) => number): Uint8Array => {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length)
  return bytesOf({ data: mapBits(bits, narrow, new Uint16Array(bits.length)) })
}
const narrowings = { float16: floatToHalfBits, bfloat16: bfloatBits } as const

/** The bytes of an array as it is written. */
const encoded = ([name, { dtype, shape }]: Entry, array: StoredArray | HalfArray): Checked<Uint8Array> =>
  array.data.length !== elementsOf(shape)
    ? fail('file', name, `${elementsOf(shape)} elements of shape ${excerpt(shape)}`, `${array.data.length}`)
    : array.dtype === dtype
      ? E.right(bytesOf(array))
      : (dtype === 'float16' || dtype === 'bfloat16') && array.dtype === 'float32'
        ? E.right(narrowed(array.data, narrowings[dtype]))
        : fail('file', name, `numbers of ${dtype}`, array.dtype)

interface Laid {
  readonly head: Uint8Array
  readonly entries: readonly Entry[]
}
/** The same arrays in the same order: wider elements first, so that all are aligned, then by name. */
const laidOut = (arrays: UnwrittenArrays, metadata: Texts): Checked<Laid> =>
  pipe(
    Object.entries(arrays),
    E.traverseArray(writable),
    E.map((entries) => {
      const inOrder = [...entries].sort(
        ([nameA, a], [nameB, b]) => codes[b.dtype].itemBytes - codes[a.dtype].itemBytes || byCodePoint(nameA, nameB),
      )
      const ends = RA.scanLeft(
        0,
        (end, [, { dtype, shape }]: Entry) => end + elementsOf(shape) * codes[dtype].itemBytes,
      )(inOrder)
      const text = Object.entries(metadata).sort(([a], [b]) => byCodePoint(a, b))
      const members = [
        ...(text.length === 0 ? [] : [`"${metadataKey}":${JSON.stringify(Object.fromEntries(text))}`]),
        ...inOrder.map(([name, { dtype, shape }], i) => {
          const info = { dtype: codes[dtype].code, shape, data_offsets: [ends[i], ends[i + 1]] }
          return `${JSON.stringify(name)}:${JSON.stringify(info)}`
        }),
      ]
      const json = new TextEncoder().encode(`{${members.join(',')}}`)
      const head = new Uint8Array(lengthBytes + Math.ceil(json.length / 8) * 8).fill(0x20)
      new DataView(head.buffer).setBigUint64(0, BigInt(head.length - lengthBytes), true)
      head.set(json, lengthBytes)
      return { head, entries: inOrder }
    }),
  )

const concat = (parts: readonly Uint8Array[]): Uint8Array => {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0))
  parts.reduce((position, part) => {
    all.set(part, position)
    return position + part.length
  }, 0)
  return all
}

/**
 * The bytes of a safetensors file. The same arrays give the same bytes. Errors: `file` for an array whose data does not fill its shape
 * or whose name cannot be written.
 *
 * ```ts
 * encodeSafetensors({ w: { dtype: 'float32', shape: [2], data: new Float32Array([1, 2]) } })
 * ```
 */
export const encodeSafetensors = (tensors: StoredArrays, metadata: Texts = {}): Checked<Uint8Array> =>
  pipe(
    laidOut(unwritten(tensors), metadata),
    E.flatMap(({ head, entries }) =>
      pipe(
        entries,
        E.traverseArray((entry) => {
          const array = own(tensors, entry[0])
          return array === undefined ? E.right(new Uint8Array()) : encoded(entry, array)
        }),
        E.map((parts) => concat([head, ...parts])),
      ),
    ),
  )

/** The same file in parts, each made when it is written. Errors: `file`. */
export const safetensorsContent = (arrays: UnwrittenArrays, metadata: Texts = {}): Checked<Content> =>
  pipe(
    laidOut(arrays, metadata),
    E.map(({ head, entries }) => [
      TE.right(head),
      ...entries.map((entry) =>
        pipe(
          entry[1].read,
          TE.flatMapEither((array) => encoded(entry, array)),
        ),
      ),
    ]),
  )

/** Writes a safetensors file an array after the other, whole or not at all; only one of them is in memory. Errors: `file`. */
export const writeSafetensors = (path: string, arrays: UnwrittenArrays, metadata: Texts = {}): Effect<Written> =>
  pipe(
    TE.fromEither(safetensorsContent(arrays, metadata)),
    TE.flatMap((content) => writeContentAtomic(path, content)),
  )
