import { Buffer } from 'node:buffer'
import { crc32, deflateRawSync } from 'node:zlib'

/** Writers of pickles and of zip files, byte by byte, for files that nobody else writes. */

export const bytes = (...parts: readonly (string | number | Uint8Array)[]): Uint8Array =>
  Buffer.concat(
    parts.map((p) => (typeof p === 'string' ? Buffer.from(p, 'latin1') : typeof p === 'number' ? Buffer.of(p) : p)),
  )

const u16 = (n: number): Uint8Array => Buffer.from(Uint16Array.of(n).buffer)
const u32 = (n: number): Uint8Array => Buffer.from(Uint32Array.of(n).buffer)
const u64 = (n: number | bigint): Uint8Array => Buffer.from(BigUint64Array.of(BigInt(n)).buffer)

export const proto = bytes(0x80, 2)
export const text = (s: string): Uint8Array => {
  const utf8 = Buffer.from(s)
  return bytes('X', u32(utf8.length), utf8)
}
export const int = (n: number): Uint8Array => bytes('J', u32(n))
export const tuple = (...items: readonly Uint8Array[]): Uint8Array => bytes('(', ...items, 't')
export const global = (module: string, name: string): Uint8Array => bytes('c', module, '\n', name, '\n')
export const called = (callee: Uint8Array, ...args: readonly Uint8Array[]): Uint8Array =>
  bytes(callee, tuple(...args), 'R')
export const dict = (...entries: readonly (readonly [Uint8Array, Uint8Array])[]): Uint8Array =>
  bytes('}(', ...entries.flat(), 'u')
export const pickle = (value: Uint8Array): Uint8Array => bytes(proto, value, '.')

export const storage = (key: string, elements: number, type = 'FloatStorage'): Uint8Array =>
  bytes(tuple(text('storage'), global('torch', type), text(key), text('cpu'), int(elements)), 'Q')

export interface View {
  readonly offset?: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}
export const tensor = (of: Uint8Array, { offset = 0, shape, strides }: View): Uint8Array =>
  called(
    global('torch._utils', '_rebuild_tensor_v2'),
    of,
    int(offset),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    bytes(0x89),
    bytes('}'),
  )

export interface ZipMember {
  readonly name: string
  readonly data: Uint8Array
  readonly deflate?: boolean
  /** What the directory says instead of the truth. */
  readonly claims?: { readonly bytes?: number; readonly crc?: number }
}

/** `zip64` writes every size and offset of the directory in the fields of 8 bytes. */
export const zip = (members: readonly ZipMember[], { zip64 = false } = {}): Uint8Array => {
  const parts: Uint8Array[] = []
  const directory: Uint8Array[] = []
  const position = (): number => parts.reduce((n, p) => n + p.length, 0)
  for (const { name, data, deflate = false, claims = {} } of members) {
    const content = deflate ? deflateRawSync(data) : data
    const [size, crc] = [claims.bytes ?? data.length, claims.crc ?? crc32(data)]
    const facts = bytes(u16(0), u16(deflate ? 8 : 0), u32(0), u32(crc))
    const [narrow, wide] = zip64 ? [u32(0xffffffff), bytes(u16(1), u16(24))] : [undefined, bytes()]
    const at = position()
    parts.push(
      bytes('PK\x03\x04', u16(45), facts, u32(content.length), u32(size), u16(name.length), u16(0), name, content),
    )
    const extra = zip64 ? bytes(wide, u64(size), u64(content.length), u64(at)) : bytes()
    directory.push(
      bytes('PK\x01\x02', u16(45), u16(45), facts, narrow ?? u32(content.length), narrow ?? u32(size)),
      bytes(u16(name.length), u16(extra.length), u16(0), u16(0), u16(0), u32(0), narrow ?? u32(at), name, extra),
    )
  }
  const from = position()
  const entries = bytes(...directory)
  const end64 = bytes('PK\x06\x06', u64(44), u16(45), u16(45), u32(0), u32(0), u64(members.length))
  const tail64 = bytes(end64, u64(members.length), u64(entries.length), u64(from))
  const locator = bytes('PK\x06\x07', u32(0), u64(from + entries.length), u32(1))
  const [count, size, start] = zip64
    ? [u16(0xffff), u32(0xffffffff), u32(0xffffffff)]
    : [u16(members.length), u32(entries.length), u32(from)]
  const end = bytes('PK\x05\x06', u16(0), u16(0), count, count, size, start, u16(0))
  return bytes(...parts, entries, ...(zip64 ? [tail64, locator] : []), end)
}

/** A file of `torch.save`: the pickle of a value, and its storages. */
export const torchZip = (
  value: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
  options: { readonly zip64?: boolean } = {},
): Uint8Array =>
  zip(
    [
      { name: 'archive/data.pkl', data: pickle(value) },
      ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
    ],
    options,
  )

/** A file of `torch.save({under: ..., ...beside})`, contiguous float32 tensors by name. */
export const torchStateDict = (
  arrays: readonly (readonly [
    name: string,
    array: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
  ])[],
  {
    under = 'state_dict',
    beside = [],
  }: { readonly under?: string; readonly beside?: readonly (readonly [Uint8Array, Uint8Array])[] } = {},
): Uint8Array => {
  const storages = Object.fromEntries(
    arrays.map(([, { data }], i) => [String(i), Buffer.from(Float32Array.from(data).buffer)] as const),
  )
  const entries = arrays.map(([name, { shape, data }], i) => {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((n, d) => n * d, 1))
    return [text(name), tensor(storage(String(i), data.length), { shape, strides })] as const
  })
  return torchZip(dict([text(under), dict(...entries)], ...beside), storages)
}
