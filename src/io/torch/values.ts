/**
 * What a torch checkpoint can hold here: plain values, and descriptions of tensors whose data is still in the file.
 * Dictionaries and lists are as the file ties them together: shared, and even cyclic. They grow only while it is read.
 */
export type TorchValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | TorchList
  | TorchTuple
  | TorchDict
  | TorchTensor
  | TorchStorage
  | TorchGlobal
  | NumpyDtype

export interface TorchList {
  readonly kind: 'list'
  readonly items: TorchValue[]
}

export interface TorchTuple {
  readonly kind: 'tuple'
  readonly items: readonly TorchValue[]
}

/** `dict` and `OrderedDict`, in their order. */
export interface TorchDict {
  readonly kind: 'dict'
  readonly entries: Map<TorchValue, TorchValue>
}

/** A row of elements in the file, which tensors are views of. */
export interface TorchStorage {
  readonly kind: 'storage'
  /** The name of its data in the file. */
  readonly key: string
  /** A key of `storedFormats`. */
  readonly format: string
  readonly itemBytes: number
  readonly elements: number
}

/** A view of a storage; offset and strides in elements. It lies within the storage. */
export interface TorchTensor {
  readonly kind: 'tensor'
  readonly storage: TorchStorage
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

/** A known name of Python code, such as `torch FloatStorage`; nothing stands behind it. */
export interface TorchGlobal {
  readonly kind: 'global'
  readonly name: string
}

/** The type of a numpy number. */
export interface NumpyDtype {
  readonly kind: 'numpy dtype'
  readonly code: string
}

/** What is wrong, before it is known where. */
export interface Complaint {
  readonly expected: string
  readonly got: string
  readonly hint?: string
}

type Kind = Extract<TorchValue, { readonly kind: string }>['kind']

export const isKind =
  <K extends Kind>(...kinds: readonly K[]) =>
  (u: TorchValue | undefined): u is Extract<TorchValue, { readonly kind: K }> =>
    typeof u === 'object' && u !== null && !(u instanceof Uint8Array) && kinds.some((kind) => kind === u.kind)

/** A foreign text for a message: quoted, so that it cannot steer a terminal, and short. */
export const quoted = (text: string): string => JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}...` : text)

const kinds: Readonly<Record<string, string>> = { string: 'a string', number: 'a number', bigint: 'a number' }

/** How a value is called in a message, without what it holds. */
export const describe = (value: TorchValue | undefined): string => {
  if (value === undefined) return 'nothing'
  if (value === null) return 'None'
  if (typeof value !== 'object') return kinds[typeof value] ?? String(value)
  if (value instanceof Uint8Array) return 'bytes'
  return value.kind === 'global' ? `the name ${quoted(value.name)}` : `a ${value.kind}`
}

/** The dtypes of `torch.<name>Storage`, as `storedFormats` calls them. */
export const storageFormats: ReadonlyMap<string, string> = new Map([
  ['torch FloatStorage', 'F32'],
  ['torch DoubleStorage', 'F64'],
  ['torch HalfStorage', 'F16'],
  ['torch BFloat16Storage', 'BF16'],
  ['torch LongStorage', 'I64'],
  ['torch IntStorage', 'I32'],
  ['torch ShortStorage', 'I16'],
  ['torch CharStorage', 'I8'],
  ['torch ByteStorage', 'U8'],
  ['torch BoolStorage', 'BOOL'],
])
