import { E, type Either } from '../../prelude.ts'
import { storedFormats } from '../stored.ts'
import {
  type Complaint,
  describe,
  isKind,
  quoted,
  storageFormats,
  type TorchGlobal,
  type TorchStorage,
  type TorchValue,
} from './values.ts'

/** The few names of Python code that a checkpoint may use, and what stands in for a call of each. No code is behind any. */

/** How many values calls may still copy: a file may show one list to many calls. */
export interface Allowance {
  left: number
}

type Made = Either<Complaint, TorchValue>
type Call = (args: readonly TorchValue[], allowance: Allowance) => Made

const refused = (expected: string, got: string, hint?: string): Either<Complaint, never> =>
  E.left(hint === undefined ? { expected, got } : { expected, got, hint })

const largestRank = 64
const isNatural = (u: TorchValue | undefined): u is number => typeof u === 'number' && Number.isSafeInteger(u) && u >= 0

const items = (u: TorchValue | undefined): readonly TorchValue[] | undefined =>
  isKind('list', 'tuple')(u) ? u.items : undefined

const sizes = (u: TorchValue | undefined): readonly number[] | undefined => {
  const found = items(u)
  return found !== undefined && found.length <= largestRank && found.every(isNatural) ? found : undefined
}

const isPlain = (metadata: TorchValue | undefined): boolean =>
  metadata === undefined || metadata === null || (isKind('dict')(metadata) && metadata.entries.size === 0)

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, metadata)` */
const tensor: Call = ([storage, offset, size, stride, , , metadata]) => {
  const [shape, strides] = [sizes(size), sizes(stride)]
  if (!isKind('storage')(storage) || !isNatural(offset) || shape === undefined || strides?.length !== shape.length)
    return refused(
      `a tensor of a storage, an offset, and as many sizes as strides (at most ${largestRank}), all natural numbers`,
      [storage, offset, size, stride].map(describe).join(', '),
    )
  if (!isPlain(metadata)) return refused('a tensor without metadata', 'one that is conjugated or negated in place')
  const last = shape.reduce((at, n, i) => at + (n - 1) * (strides[i] ?? 0), offset)
  return shape.includes(0) || last < storage.elements
    ? E.right({ kind: 'tensor', storage, offset, shape, strides })
    : refused(
        `a view within the ${storage.elements} elements of storage ${quoted(storage.key)}`,
        `one up to element ${last}`,
      )
}

const parameter: Call = ([data]) =>
  isKind('tensor')(data) ? E.right(data) : refused('a tensor as the data of a parameter', describe(data))

/** Python 2 writes the entries as an argument: lists of a key and a value. */
const orderedDict: Call = (args, allowance) => {
  if (args.length === 0) return E.right({ kind: 'dict', entries: new Map() })
  const pairs = (items(args[0]) ?? [null]).map(items)
  allowance.left -= pairs.length
  if (args.length > 1 || allowance.left < 0 || pairs.some((p) => p?.length !== 2))
    return refused('an OrderedDict of pairs', args.map(describe).join(', '))
  const entries = pairs.flatMap((p) => {
    const [key, value] = p ?? []
    return key === undefined || value === undefined ? [] : [[key, value] as const]
  })
  const made = new Map(entries)
  return made.size === entries.length
    ? E.right({ kind: 'dict', entries: made })
    : refused('keys that differ', 'one of them twice')
}

const size: Call = ([dims]) => {
  const found = sizes(dims)
  return found === undefined
    ? refused('the sizes of a tensor', describe(dims))
    : E.right({ kind: 'tuple', items: found })
}

const dataView = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const numpyNumbers: ReadonlyMap<string, { readonly bytes: number; readonly read: (v: DataView) => number | bigint }> =
  new Map([
    ['f8', { bytes: 8, read: (v: DataView) => v.getFloat64(0, true) }],
    ['f4', { bytes: 4, read: (v: DataView) => v.getFloat32(0, true) }],
    ['i8', { bytes: 8, read: (v: DataView) => v.getBigInt64(0, true) }],
    ['i4', { bytes: 4, read: (v: DataView) => v.getInt32(0, true) }],
  ])

const dtype: Call = ([code]) =>
  typeof code === 'string' && numpyNumbers.has(code)
    ? E.right({ kind: 'numpy dtype', code })
    : refused(`a numpy number of ${[...numpyNumbers.keys()].join(', ')}`, describe(code))

const scalar: Call = ([type, bytes]) => {
  const format = isKind('numpy dtype')(type) ? numpyNumbers.get(type.code) : undefined
  return format !== undefined && bytes instanceof Uint8Array && bytes.length === format.bytes
    ? E.right(format.read(dataView(bytes)))
    : refused('a numpy number: its type and its bytes', [type, bytes].map(describe).join(', '))
}

/** Protocol 2 has no bytes: they are text whose characters stand for them. */
const encode: Call = ([text, encoding]) =>
  typeof text === 'string' && text.length <= 16 && encoding === 'latin1'
    ? E.right(Uint8Array.from(text, (c) => c.charCodeAt(0)))
    : refused('the bytes of a number as latin1', [text, encoding].map(describe).join(', '))

const calls: ReadonlyMap<string, Call> = new Map([
  ['torch._utils _rebuild_tensor_v2', tensor],
  ['torch._utils _rebuild_tensor', tensor],
  ['torch._utils _rebuild_parameter', parameter],
  ['torch.nn.parameter Parameter', parameter],
  ['collections OrderedDict', orderedDict],
  ['torch Size', size],
  ['numpy dtype', dtype],
  ['numpy.core.multiarray scalar', scalar],
  ['numpy._core.multiarray scalar', scalar],
  ['_codecs encode', encode],
])

/** Names that published checkpoints use as keys, and nobody calls. */
const keys: ReadonlySet<string> = new Set([
  'pytorch_lightning.callbacks.model_checkpoint ModelCheckpoint',
  'pytorch_lightning.callbacks.early_stopping EarlyStopping',
])

/** What a name stands for. */
export const globalNamed = (name: string): Either<Complaint, TorchGlobal> =>
  calls.has(name) || keys.has(name) || storageFormats.has(name)
    ? E.right({ kind: 'global', name })
    : refused(
        'tensors, dictionaries, lists, numbers and strings alone',
        `the name of other code, ${quoted(name)}`,
        'nothing of this file was executed or loaded',
      )

/** What the call of a name makes. */
export const called = (callee: TorchValue, args: TorchValue, allowance: Allowance): Made => {
  const call = isKind('global')(callee) ? calls.get(callee.name) : undefined
  const given = items(args)
  return call === undefined || given === undefined
    ? refused('a call that makes a tensor, a dictionary or a number', `a call of ${describe(callee)}`)
    : call(given, allowance)
}

/** Whether the state that a file gives to a value, beside what made it, can be left out. */
export const takesState = isKind('dict', 'tensor', 'numpy dtype')

/** `('storage', torch.FloatStorage, key, location, elements)`; legacy files add the view's, which is always None now. */
export const storageOf = (id: TorchValue): Either<Complaint, TorchStorage> => {
  const [tag, type, key, , elements, view = null] = items(id) ?? []
  const format = isKind('global')(type) ? storageFormats.get(type.name) : undefined
  const itemBytes = format === undefined ? undefined : storedFormats.get(format)?.itemBytes
  return tag === 'storage' &&
    format !== undefined &&
    itemBytes !== undefined &&
    typeof key === 'string' &&
    isNatural(elements) &&
    view === null
    ? E.right({ kind: 'storage', key, format, itemBytes, elements })
    : refused(
        'a storage: its type, key, location and number of elements',
        [tag, type, key, elements, view].map(describe).join(', '),
      )
}
