import { promisify } from 'node:util'
import { crc32, inflateRaw } from 'node:zlib'
import { type Checked, type Effect, effect, fail, failure } from '../../error.ts'
import { E, TE } from '../../prelude.ts'
import { fileEffect } from '../bytes.ts'
import type { Source } from '../source.ts'
import { unpickle } from './pickle.ts'
import type { StoredData, TorchContent } from './stored.ts'
import { quoted } from './values.ts'
import { type Member, readDirectory, readMember } from './zip-directory.ts'

/** The zip format of `torch.save`: `<stem>/data.pkl`, and one member a storage, `<stem>/data/<key>`. */

const chunkBytes = 2 ** 30
const checksum = (bytes: Uint8Array): number => {
  let sum = 0
  for (let from = 0; from < bytes.length; from += chunkBytes) sum = crc32(bytes.subarray(from, from + chunkBytes), sum)
  return sum
}

const inflate = promisify<Uint8Array, { readonly maxOutputLength: number }, Uint8Array>(inflateRaw)

type Decoder = (at: string, raw: Uint8Array, bytes: number) => Effect<Uint8Array>
const decoders: ReadonlyMap<number, Decoder> = new Map<number, Decoder>([
  /** Stored. */
  [0, (_, raw) => TE.right(raw)],
  /** Deflated; the output may not grow beyond what the directory says. */
  [
    8,
    (at, raw, bytes) =>
      fileEffect(at, `${bytes} bytes once inflated`, () => inflate(raw, { maxOutputLength: Math.max(1, bytes) })),
  ],
])

/** A member whole, of the size and checksum that the directory says. Errors: `file`. */
export const contentOf = (source: Source, member: Member): Effect<Uint8Array> =>
  effect(async (run) => {
    const at = `${source.path}: ${quoted(member.name)}`
    const refuse = (expected: string, got: string): Promise<never> => run(TE.left([failure('file', at, expected, got)]))
    const decode = decoders.get(member.method)
    if (decode === undefined || member.encrypted)
      return refuse('a member that is stored or deflated', member.encrypted ? 'encrypted' : `method ${member.method}`)
    const bytes = await run(decode(at, await run(readMember(source, member)), member.bytes))
    if (bytes.length !== member.bytes) return refuse(`${member.bytes} bytes`, `${bytes.length}`)
    const sum = checksum(bytes)
    return sum === member.crc32
      ? bytes
      : refuse(`data of CRC-32 ${member.crc32}`, `${sum}: it was changed or damaged after it was written`)
  })

const picklePath = /^([^/]+)\/data\.pkl$/
const rootOf = (members: readonly Member[], path: string): Checked<string> => {
  const roots = members.flatMap(({ name }) => picklePath.exec(name)?.[1] ?? [])
  const [root] = roots
  return root !== undefined && roots.length === 1
    ? E.right(root)
    : fail('file', path, 'a zip file of torch.save, with one folder/data.pkl', `${roots.length} of them`)
}

/** What a member beside the tensors may hold; deflated pickles of models are a tenth of themselves, never so much less. */
const largest = { 'data.pkl': 2 ** 28, byteorder: 64 } as const
const largestGrowth = 64

/** Reads what a torch zip says, and where its tensors lie; no tensor yet. Errors: `file`. */
export const openZip = (source: Source): Effect<TorchContent> =>
  effect(async (run) => {
    const { path } = source
    const refuse = (expected: string, got: string): Promise<never> =>
      run(TE.left([failure('file', path, expected, got)]))
    const members = await run(readDirectory(source))
    const root = await run(TE.fromEither(rootOf(members, path)))
    const contents = async (name: keyof typeof largest): Promise<Uint8Array | undefined> => {
      const found = members.find((m) => m.name === `${root}/${name}`)
      if (found === undefined) return undefined
      const limit = Math.min(largest[name], largestGrowth * found.compressedBytes)
      return found.bytes > limit
        ? refuse(`at most ${limit} bytes in ${name}, of ${found.compressedBytes} in the file`, `${found.bytes}`)
        : run(contentOf(source, found))
    }
    const order = await contents('byteorder')
    if (order !== undefined && new TextDecoder().decode(order).trim() !== 'little')
      return refuse('little-endian data', 'another byte order')
    const pickle = (await contents('data.pkl')) ?? new Uint8Array()
    const unpickled = await run(TE.fromEither(unpickle(pickle, 0, path, source.size)))
    if (unpickled === undefined) return refuse('a whole pickle in data.pkl', 'one that is cut short')
    const folder = `${root}/data/`
    return {
      path,
      fileBytes: source.size,
      ...unpickled,
      data: new Map(
        members.flatMap((member): readonly (readonly [string, StoredData])[] =>
          member.name.startsWith(folder)
            ? [[member.name.slice(folder.length), { bytes: member.bytes, read: contentOf(source, member) }]]
            : [],
        ),
      ),
    }
  })
