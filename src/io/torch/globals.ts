import { Buffer } from 'node:buffer'
import { E, type Either } from '../../prelude.ts'
import { isHostile } from './hostile.ts'
import {
  type Complaint,
  describe,
  dtypeTypes,
  type ElementType,
  isKind,
  quoted,
  storageTypes,
  type TorchGlobal,
  type TorchOpaque,
  type TorchStorage,
  type TorchTensor,
  type TorchValue,
} from './values.ts'

/**
 * The few names of Python code that mean something here, and what stands in for a call of each: no code is behind any. What calls
 * of all others would make is opaque.
 */

/** How many bytes of memory values may still take. */
export interface Allowance {
  left: number
}

/** Of one value more in a list or a dictionary, roughly. */
export const valueBytes = 64

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

const opaque = (name: string): TorchOpaque => ({ kind: 'opaque', name })

const lastOf = ({ offset, shape, strides }: Pick<TorchTensor, 'offset' | 'shape' | 'strides'>): number =>
  shape.reduce((at, n, i) => at + (n - 1) * (strides[i] ?? 0), offset)

/** A view of a storage: of its type, or of the tensor's own where the storage is of bytes. */
const view = (args: readonly TorchValue[], type: ElementType | undefined): Made => {
  const [storage, first, size, stride] = args
  const [offset, shape, strides] = [first, sizes(size), sizes(stride)]
  if (isKind('opaque')(storage)) return E.right(storage)
  if (!isKind('storage')(storage) || !isNatural(offset) || shape === undefined || strides?.length !== shape.length)
    return refused(
      `a tensor of a storage, an offset, and as many sizes as strides (at most ${largestRank}), all natural numbers`,
      [storage, offset, size, stride].map(describe).join(', '),
    )
  const own = type ?? storage.type
  const elements = Math.floor((storage.elements * storage.type.itemBytes) / own.itemBytes)
  const last = lastOf({ offset, shape, strides })
  return shape.includes(0) || last < elements
    ? E.right({ kind: 'tensor', storage, type: own, offset, shape, strides })
    : refused(`a view within the ${elements} elements of storage ${quoted(storage.key)}`, `one up to element ${last}`)
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, metadata)` */
const tensor: Call = (args) =>
  isPlain(args[6])
    ? view(args, undefined)
    : E.right(opaque('torch._utils _rebuild_tensor_v2, conjugated or negated in place'))

/** `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, backward_hooks, dtype, metadata)` */
const typedTensor: Call = (args) => {
  const dtype = args[6]
  if (!isKind('global')(dtype)) return refused('the dtype of a tensor', describe(dtype))
  const type = dtypeTypes.get(dtype.name)
  return type === undefined || !isPlain(args[7]) ? E.right(opaque(dtype.name)) : view(args, type)
}

/** Of what holds a tensor, the tensor. */
const parameter: Call = ([data]) =>
  isKind('tensor', 'opaque')(data) ? E.right(data) : refused('a tensor as the data of a parameter', describe(data))

const plainTypes: ReadonlySet<string> = new Set([
  ...['torch Tensor', 'torch.nn.parameter Parameter', 'torch.nn.parameter Buffer'],
])
/** `_rebuild_from_type_v2(function, type, arguments, state)`: a tensor that something was attached to. */
const fromType: Call = ([callee, type, args], allowance) => {
  if (!isKind('global')(type) || !isKind('global')(callee)) return refused('the type of a tensor', describe(type))
  return plainTypes.has(type.name) && args !== undefined ? called(callee, args, allowance) : E.right(opaque(type.name))
}

/** Python 2 writes the entries as an argument: lists of a key and a value. */
const orderedDict: Call = (args, allowance) => {
  if (args.length === 0) return E.right({ kind: 'dict', entries: new Map() })
  const pairs = (items(args[0]) ?? [null]).map(items)
  allowance.left -= pairs.length * valueBytes
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

/** What makes the values that it lacks is left out. */
const defaultDict: Call = () => E.right({ kind: 'dict', entries: new Map() })

const size: Call = ([dims]) => {
  const found = sizes(dims)
  return E.right(found === undefined ? opaque('torch Size') : { kind: 'tuple', items: found })
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
  E.right(typeof code === 'string' && numpyNumbers.has(code) ? { kind: 'numpy dtype', code } : opaque('numpy dtype'))

const scalar: Call = ([type, bytes]) => {
  const format = isKind('numpy dtype')(type) ? numpyNumbers.get(type.code) : undefined
  return E.right(
    format !== undefined && bytes instanceof Uint8Array && bytes.length === format.bytes
      ? format.read(dataView(bytes))
      : opaque('numpy scalar'),
  )
}

/** Protocol 2 has no bytes: they are text whose characters stand for them. */
const encode: Call = ([text, encoding], allowance) => {
  if (typeof text !== 'string' || encoding !== 'latin1') return E.right(opaque('_codecs encode'))
  allowance.left -= text.length
  return allowance.left < 0
    ? refused('bytes that fit the memory', `${text.length} more`)
    : E.right(Buffer.from(text, 'latin1'))
}

/** An attribute of a class, or what is nested in it, by its name. */
const attribute: Call = ([of, name]) =>
  isKind('global')(of) && typeof name === 'string'
    ? globalNamed(of.name.replace(/ .*$/s, ''), `${of.name.replace(/^[^ ]* /, '')}.${name}`)
    : refused('an attribute of a class by its name', `a call of the name "builtins getattr" on ${describe(of)}`)

/** Makes an object of the class that is its first argument. */
const objectOf: Call = ([type]) => E.right(opaque(isKind('global', 'opaque')(type) ? type.name : 'object'))

const calls: ReadonlyMap<string, Call> = new Map([
  ['torch._utils _rebuild_tensor_v2', tensor],
  ['torch._utils _rebuild_tensor', tensor],
  ['torch._utils _rebuild_tensor_v3', typedTensor],
  ['torch._utils _rebuild_parameter', parameter],
  ['torch._utils _rebuild_parameter_with_state', parameter],
  ['torch.nn.parameter Parameter', parameter],
  ['torch._tensor _rebuild_from_type_v2', fromType],
  ['collections OrderedDict', orderedDict],
  ['collections defaultdict', defaultDict],
  ['torch Size', size],
  ['numpy dtype', dtype],
  ['numpy.core.multiarray scalar', scalar],
  ['numpy._core.multiarray scalar', scalar],
  ['_codecs encode', encode],
  ['__builtin__ getattr', attribute],
  ['builtins getattr', attribute],
  ['copy_reg _reconstructor', objectOf],
  ['copyreg _reconstructor', objectOf],
  ['copyreg __newobj__', objectOf],
  ['copyreg __newobj_ex__', objectOf],
  ['numpy.core.multiarray _reconstruct', objectOf],
  ['numpy._core.multiarray _reconstruct', objectOf],
])

/** Whether a name means something here. */
export const isKnown = (name: string): boolean => calls.has(name) || storageTypes.has(name) || dtypeTypes.has(name)

/** What a name stands for. */
export const globalNamed = (module: string, name: string): Either<Complaint, TorchGlobal> =>
  isHostile(module, name)
    ? refused(
        'tensors and plain values, and nothing that would run programs or other code',
        `the name of other code, ${quoted(`${module} ${name}`)}`,
        'nothing of this file was executed or loaded; have nothing to do with it',
      )
    : E.right({ kind: 'global', name: `${module} ${name}` })

/** What the call of a name makes. */
export const called = (callee: TorchValue, args: TorchValue, allowance: Allowance): Made => {
  const given = items(args)
  if (!isKind('global', 'opaque')(callee) || given === undefined)
    return refused('a call of a name with its arguments', `a call of ${describe(callee)}`)
  const call = isKind('global')(callee) ? calls.get(callee.name) : undefined
  return call === undefined ? E.right(opaque(callee.name)) : call(given, allowance)
}

/** Whether the state that a file gives to a value, beside what made it, can be left out. */
export const takesState = isKind('dict', 'tensor', 'numpy dtype', 'opaque', 'global')

/**
 * `('storage', torch.FloatStorage, key, location, elements)`; legacy files add the view's, which is always None now, and name the
 * code of modules: `('module', class, file, source)`.
 */
export const storageOf = (id: TorchValue): Either<Complaint, TorchStorage | TorchGlobal | TorchOpaque> => {
  const [tag, name, key, , elements, view = null] = items(id) ?? []
  if (tag === 'module' && isKind('global', 'opaque')(name)) return E.right(name)
  const type = isKind('global')(name) ? storageTypes.get(name.name) : undefined
  if (tag !== 'storage' || !isKind('global')(name) || typeof key !== 'string' || !isNatural(elements) || view !== null)
    return refused(
      'a storage: its type, key, location and number of elements',
      [tag, name, key, elements, view].map(describe).join(', '),
    )
  return E.right(type === undefined ? opaque(name.name) : { kind: 'storage', key, type, elements })
}
