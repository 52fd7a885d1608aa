import { type Effect, effect, failure } from '../../error.ts'
import { TE } from '../../prelude.ts'
import type { Source } from '../source.ts'
import { type Unpickled, unpickle } from './pickle.ts'
import type { StoredData, TorchContent } from './stored.ts'
import { describe, isKind, quoted, type TorchValue } from './values.ts'

/**
 * The format of `torch.save` before version 1.6: pickles of a magic number, a version, facts about the machine, the
 * value and the storages' keys; then each storage as its number of elements (int64) and its data
 * (`torch/serialization.py`, `_legacy_save`).
 */

const magicNumber = 0x1950a86a20f9469cfc6cn
const version = 1001
const firstHead = 2 ** 20
const largestHead = 2 ** 28

interface Head {
  readonly value: Unpickled
  readonly keys: readonly string[]
  readonly end: number
}

const isLittleEndian = (facts: TorchValue): boolean =>
  isKind('dict')(facts) && facts.entries.get('little_endian') === true

/** The five pickles, within the first `length` bytes of the file; `undefined` where they go on. */
const readHead = (source: Source, length: number): Effect<Head | undefined> =>
  effect(async (run) => {
    const { path } = source
    const refuse = (expected: string, got: string): Promise<never> =>
      run(TE.left([failure('file', path, expected, got)]))
    const bytes = await run(source.read(0, length))
    const next = (start: number) => run(TE.fromEither(unpickle(bytes, start, path, source.size)))

    const magic = await next(0)
    if (magic === undefined) return undefined
    if (magic.value !== magicNumber) return refuse('the magic number of torch.save', 'another pickle')
    const protocol = await next(magic.end)
    if (protocol === undefined) return undefined
    if (protocol.value !== version) return refuse(`version ${version} of the format`, describe(protocol.value))
    const facts = await next(protocol.end)
    if (facts === undefined) return undefined
    if (!isLittleEndian(facts.value)) return refuse('little-endian data', 'another byte order')
    const value = await next(facts.end)
    if (value === undefined) return undefined
    const keys = await next(value.end)
    if (keys === undefined) return undefined
    const names = isKind('list')(keys.value) ? keys.value.items : [null]
    const strings = names.flatMap((key) => (typeof key === 'string' ? [key] : []))
    return strings.length === names.length && new Set(names).size === names.length
      ? { value, keys: strings, end: keys.end }
      : refuse('a list of distinct storage keys', describe(keys.value))
  })

const wholeHead = (source: Source, length = firstHead): Effect<Head> =>
  effect(async (run) => {
    const taken = Math.min(length, source.size)
    const head = await run(readHead(source, taken))
    if (head !== undefined) return head
    const limit = Math.min(source.size, largestHead)
    return taken < limit
      ? run(wholeHead(source, 4 * length))
      : run(TE.left([failure('file', source.path, `whole pickles in the first ${limit} bytes`, 'cut short')]))
  })

const countBytes = 8

/** Reads what a legacy file says, and where its tensors lie; no tensor yet. Errors: `file`. */
export const openLegacy = (source: Source): Effect<TorchContent> =>
  effect(async (run) => {
    const { path, size } = source
    const refuse = (expected: string, got: string): Promise<never> =>
      run(TE.left([failure('file', path, expected, got)]))
    const { value: unpickled, keys, end } = await run(wholeHead(source))
    const data = new Map<string, StoredData>()
    let at = end
    for (const key of keys) {
      const storage = unpickled.storages.get(key)
      if (storage === undefined) return refuse('storages that tensors use', `${quoted(key)}, which none uses`)
      const count = await run(source.read(at, countBytes))
      const elements = new DataView(count.buffer).getBigInt64(0, true)
      if (elements !== BigInt(storage.elements))
        return refuse(`${storage.elements} elements in storage ${quoted(key)}`, `${elements}`)
      const from = at + countBytes
      const bytes = storage.elements * storage.type.itemBytes
      if (from + bytes > size)
        return refuse(`${bytes} bytes of storage ${quoted(key)}`, `${size - from} to the file's end`)
      data.set(key, { bytes, read: source.read(from, bytes) })
      at = from + bytes
    }
    return at === size
      ? { path, fileBytes: size, ...unpickled, data }
      : refuse(`the last storage to end the file at byte ${at}`, `${size} bytes`)
  })
