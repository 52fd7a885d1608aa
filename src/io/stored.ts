import type { Effect } from '../error.ts'
import { bfloatToFloatBits, halfToFloatBits, mapBits } from '../graph/half.ts'

/** Arrays as files hold them. */

/** An array of a file: row-major, its element type, its shape. `bool` is one byte an element, 0 or 1. */
export type StoredArray =
  | { readonly dtype: 'float32'; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly dtype: 'float64'; readonly shape: readonly number[]; readonly data: Float64Array }
  | { readonly dtype: 'int32'; readonly shape: readonly number[]; readonly data: Int32Array }
  | { readonly dtype: 'int64'; readonly shape: readonly number[]; readonly data: BigInt64Array }
  | { readonly dtype: 'bool'; readonly shape: readonly number[]; readonly data: Uint8Array }

export type StoredDtype = StoredArray['dtype']

/** Arrays of a file, by name. */
export type StoredArrays = Readonly<Record<string, StoredArray>>

/** An array that still lies in its file, which is open as long as it may be read. */
export interface UnreadArray {
  /** As safetensors calls it; of what is no array, what it is instead. */
  readonly dtype: string
  readonly shape: readonly number[]
  /** What it takes in the file. */
  readonly bytes: number
  /** Where its numbers lie, row-major and as they are, if they do. */
  readonly place?: { readonly path: string; readonly position: number }
  /** Errors: `file`, where it is damaged or of a type that is not known. */
  readonly read: Effect<StoredArray>
}

export type UnreadArrays = Readonly<Record<string, UnreadArray>>

/** How many elements a shape has. */
export const elementsOf = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1)

/** How many numbers are NaN or infinite. */
export const countNonFinite = (data: ArrayLike<number>): number => {
  let count = 0
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(data[i])) count += 1
  return count
}

/** The same bytes at an address that is a multiple of `itemBytes`: themselves, or a copy. */
const aligned = (bytes: Uint8Array, itemBytes: number): Uint8Array =>
  bytes.byteOffset % itemBytes === 0 ? bytes : new Uint8Array(bytes)

interface ArrayView<A> {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): A
  readonly BYTES_PER_ELEMENT: number
}

const view = <A>(Type: ArrayView<A>, bytes: Uint8Array): A => {
  const at = aligned(bytes, Type.BYTES_PER_ELEMENT)
  return new Type(at.buffer, at.byteOffset, at.byteLength / Type.BYTES_PER_ELEMENT)
}

/** Of 4 bits of exponent and 3 of fraction, without infinity: NaN is all bits set (OCP 8-bit Floating Point 1.0, 5.2). */
const e4m3ToFloatBits = (byte: number): number => {
  const sign = (byte & 0x80) << 24
  const exponent = (byte >> 3) & 0xf
  const fraction = byte & 7
  if (exponent === 0xf && fraction === 7) return sign | 0x7fc00000
  if (exponent !== 0) return sign | ((exponent + 120) << 23) | (fraction << 20)
  if (fraction === 0) return sign
  const shift = Math.clz32(fraction) - 28
  return sign | ((121 - shift) << 23) | (((fraction << shift) & 7) << 20)
}

/** E5M2 is the upper half of a half-precision number. */
const e5m2ToFloatBits = (byte: number): number => halfToFloatBits(byte << 8)

const widenBits = (narrow: Uint8Array | Uint16Array, widen: (bits: number) => number): Float32Array =>
  new Float32Array(mapBits(narrow, widen, new Uint32Array(narrow.length)).buffer)

type Shape = readonly number[]

interface StoredFormat {
  readonly itemBytes: number
  readonly read: (bytes: Uint8Array, shape: Shape) => StoredArray
}

const int32 = (itemBytes: number, read: (bytes: Uint8Array) => Iterable<number>): StoredFormat => ({
  itemBytes,
  read: (bytes, shape) => ({ dtype: 'int32', shape, data: Int32Array.from(read(bytes)) }),
})

const float32 = (itemBytes: number, read: (bytes: Uint8Array) => Float32Array): StoredFormat => ({
  itemBytes,
  read: (bytes, shape) => ({ dtype: 'float32', shape, data: read(bytes) }),
})

/**
 * The safetensors dtypes that can be read, each widened without loss to one of `StoredDtype`.
 * Views into the file's bytes where they are aligned.
 */
export const storedFormats: ReadonlyMap<string, StoredFormat> = new Map<string, StoredFormat>([
  ['F32', float32(4, (bytes) => view(Float32Array, bytes))],
  ['F16', float32(2, (bytes) => widenBits(view(Uint16Array, bytes), halfToFloatBits))],
  ['BF16', float32(2, (bytes) => widenBits(view(Uint16Array, bytes), bfloatToFloatBits))],
  ['F8_E4M3', float32(1, (bytes) => widenBits(bytes, e4m3ToFloatBits))],
  ['F8_E5M2', float32(1, (bytes) => widenBits(bytes, e5m2ToFloatBits))],
  ['F64', { itemBytes: 8, read: (bytes, shape) => ({ dtype: 'float64', shape, data: view(Float64Array, bytes) }) }],
  ['I64', { itemBytes: 8, read: (bytes, shape) => ({ dtype: 'int64', shape, data: view(BigInt64Array, bytes) }) }],
  [
    'U32',
    {
      itemBytes: 4,
      read: (bytes, shape) => ({
        dtype: 'int64',
        shape,
        data: BigInt64Array.from(view(Uint32Array, bytes), BigInt),
      }),
    },
  ],
  ['I32', { itemBytes: 4, read: (bytes, shape) => ({ dtype: 'int32', shape, data: view(Int32Array, bytes) }) }],
  ['I16', int32(2, (bytes) => view(Int16Array, bytes))],
  ['U16', int32(2, (bytes) => view(Uint16Array, bytes))],
  ['I8', int32(1, (bytes) => view(Int8Array, bytes))],
  ['U8', int32(1, (bytes) => bytes)],
  [
    'BOOL',
    {
      itemBytes: 1,
      read: (bytes, shape) => ({ dtype: 'bool', shape, data: Uint8Array.from(bytes, (b) => (b === 0 ? 0 : 1)) }),
    },
  ],
])

/** Whether a type is one of floating-point numbers that can be read, in a file or in memory. */
export const isFloatingPoint = (dtype: string): boolean => floatingPoint.has(dtype)
const floatingPoint: ReadonlySet<string> = new Set([
  ...['float32', 'float64'],
  ...['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'],
])

/** The safetensors dtype that each `StoredDtype` is written as. */
export const storedCodes: Readonly<Record<StoredDtype, { readonly code: string; readonly itemBytes: number }>> = {
  float32: { code: 'F32', itemBytes: 4 },
  float64: { code: 'F64', itemBytes: 8 },
  int32: { code: 'I32', itemBytes: 4 },
  int64: { code: 'I64', itemBytes: 8 },
  bool: { code: 'BOOL', itemBytes: 1 },
}
