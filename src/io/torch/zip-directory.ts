import { type Checked, type Effect, type Errors, effect, failure } from '../../error.ts'
import { E, TE } from '../../prelude.ts'
import type { Source } from '../source.ts'
import { quoted } from './values.ts'

/** The directory at the end of a zip file, with Zip64 (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3). */

/** A member, as the directory has it. */
export interface Member {
  readonly name: string
  readonly encrypted: boolean
  readonly method: number
  readonly crc32: number
  readonly compressedBytes: number
  readonly bytes: number
  /** Where its own header lies. */
  readonly header: number
}

const signatures = { end: 0x06054b50, locator: 0x07064b50, end64: 0x06064b50, entry: 0x02014b50, member: 0x04034b50 }
const lengths = { end: 22, locator: 20, end64: 56, entry: 46, member: 30 }
const longestComment = 0xffff
const elsewhere = 0xffffffff
const zip64Field = 0x0001

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
/** Offsets beyond 2^53 lie beyond every file. */
const large = (v: DataView, at: number): number => Number(v.getBigUint64(at, true))

const broken = (source: Source, expected: string, got: string): E.Either<Errors, never> =>
  E.left([failure('file', source.path, expected, got)])

interface Directory {
  readonly entries: number
  readonly from: number
  readonly bytes: number
}

/** Where the record lies that ends the file, within the file's last bytes. */
const endIn = (tail: Uint8Array): number | undefined => {
  const v = view(tail)
  for (let at = tail.length - lengths.end; at >= 0; at--)
    if (v.getUint32(at, true) === signatures.end && v.getUint16(at + 20, true) === tail.length - at - lengths.end)
      return at
  return undefined
}

const findDirectory = (source: Source): Effect<Directory> =>
  effect(async (run) => {
    const { size, read } = source
    const refuse = (expected: string, got: string): Promise<never> => run(TE.fromEither(broken(source, expected, got)))
    const length = Math.min(size, lengths.locator + lengths.end + longestComment)
    const tail = await run(read(size - length, length))
    const at = endIn(tail)
    if (at === undefined) return refuse('the directory that ends a zip file', 'none: the file is cut short, or no zip')
    const v = view(tail)
    const locator = at - lengths.locator
    if (locator < 0 || v.getUint32(locator, true) !== signatures.locator)
      return {
        entries: v.getUint16(at + 10, true),
        bytes: v.getUint32(at + 12, true),
        from: v.getUint32(at + 16, true),
      }
    const end = view(await run(read(large(v, locator + 8), lengths.end64)))
    return end.getUint32(0, true) === signatures.end64
      ? { entries: large(end, 32), bytes: large(end, 40), from: large(end, 48) }
      : refuse('the Zip64 record that the directory points to', 'something else')
  })

/** The fields of 8 bytes that stand in for those that are too small, in their order. */
const zip64Numbers = (extra: Uint8Array): readonly number[] => {
  const v = view(extra)
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = v.getUint16(at + 2, true)
    const end = at + 4 + length
    if (v.getUint16(at, true) === zip64Field && end <= extra.length)
      return Array.from({ length: Math.floor(length / 8) }, (_, i) => large(v, at + 4 + 8 * i))
    at = end
  }
  return []
}

interface Entry {
  readonly member: Member
  readonly end: number
}

const readEntry = (source: Source, directory: Uint8Array, at: number): Checked<Entry> => {
  if (at + lengths.entry > directory.length) return broken(source, 'a whole entry of the directory', 'its end')
  const v = view(directory.subarray(at))
  if (v.getUint32(0, true) !== signatures.entry) return broken(source, 'an entry of the directory', 'something else')
  const name = lengths.entry
  const extra = name + v.getUint16(28, true)
  const comment = extra + v.getUint16(30, true)
  const end = at + comment + v.getUint16(32, true)
  if (end > directory.length) return broken(source, 'a whole entry of the directory', 'its end')
  const wide = [...zip64Numbers(directory.subarray(at + extra, at + comment))]
  const number = (field: number): number | undefined => {
    const narrow = v.getUint32(field, true)
    return narrow === elsewhere ? wide.shift() : narrow
  }
  const [bytes, compressedBytes, header] = [number(24), number(20), number(42)]
  if (bytes === undefined || compressedBytes === undefined || header === undefined)
    return broken(source, 'sizes of a member', 'none')
  return E.right({
    end,
    member: {
      name: new TextDecoder().decode(directory.subarray(at + name, at + extra)),
      encrypted: (v.getUint16(8, true) & 1) !== 0,
      method: v.getUint16(10, true),
      crc32: v.getUint32(16, true),
      compressedBytes,
      bytes,
      header,
    },
  })
}

/** The members of a zip file; their names are distinct. Errors: `file`. */
export const readDirectory = (source: Source): Effect<readonly Member[]> =>
  effect(async (run) => {
    const { entries, from, bytes } = await run(findDirectory(source))
    const directory = await run(source.read(from, bytes))
    const members = new Map<string, Member>()
    let at = 0
    while (at < directory.length) {
      const { member, end } = await run(TE.fromEither(readEntry(source, directory, at)))
      if (members.has(member.name))
        return run(TE.fromEither(broken(source, 'distinct members', `${quoted(member.name)} twice`)))
      members.set(member.name, member)
      at = end
    }
    return members.size === entries
      ? [...members.values()]
      : run(TE.fromEither(broken(source, `${entries} members`, `${members.size}`)))
  })

/** The bytes of a member as they lie in the file, compressed or not. Errors: `file`. */
export const readMember = (source: Source, { name, header, compressedBytes }: Member): Effect<Uint8Array> =>
  effect(async (run) => {
    const own = await run(source.read(header, lengths.member))
    const v = view(own)
    const from = header + lengths.member
    const nameBytes = v.getUint16(26, true)
    const ownName = new TextDecoder().decode(await run(source.read(from, nameBytes)))
    return v.getUint32(0, true) === signatures.member && ownName === name
      ? run(source.read(from + nameBytes + v.getUint16(28, true), compressedBytes))
      : run(TE.fromEither(broken(source, `the member ${quoted(name)} where the directory says`, 'something else')))
  })
