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
  | TorchOpaque
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

/** As safetensors calls it, or as torch does where that has no name. */
export interface ElementType {
  readonly dtype: string
  readonly itemBytes: number
}

/** A row of elements in the file, which tensors are views of. */
export interface TorchStorage {
  readonly kind: 'storage'
  /** The name of its data in the file. */
  readonly key: string
  readonly type: ElementType
  readonly elements: number
}

/** A view of a storage; offset and strides in elements of its own type. It lies within the storage. */
export interface TorchTensor {
  readonly kind: 'tensor'
  readonly storage: TorchStorage
  readonly type: ElementType
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

/** A name of Python code, such as `torch FloatStorage`; nothing stands behind it. */
export interface TorchGlobal {
  readonly kind: 'global'
  readonly name: string
}

/** Stands for what Python code would make that is not here: what that is called, and nothing of what it would hold. */
export interface TorchOpaque {
  readonly kind: 'opaque'
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
  if (value.kind === 'opaque') return `an object of ${quoted(value.name)}`
  return value.kind === 'global' ? `the name ${quoted(value.name)}` : `a ${value.kind}`
}

const sizes: Readonly<Record<string, number>> = {
  ...{
    F64: 8,
    F32: 4,
    F16: 2,
    BF16: 2,
    F8_E4M3: 1,
    F8_E5M2: 1,
    F8_E8M0: 1,
    C64: 8,
    'torch.complex128': 16,
    'torch.complex32': 4,
  },
  ...{
    I64: 8,
    I32: 4,
    I16: 2,
    I8: 1,
    U64: 8,
    U32: 4,
    U16: 2,
    U8: 1,
    BOOL: 1,
    'torch.float8_e4m3fnuz': 1,
    'torch.float8_e5m2fnuz': 1,
  },
  ...{ 'torch.qint8': 1, 'torch.quint8': 1, 'torch.qint32': 4, 'torch.quint4x2': 1, 'torch.quint2x4': 1, bytes: 1 },
}
const typesBy = (dtypes: Readonly<Record<string, string>>): ReadonlyMap<string, ElementType> =>
  new Map(
    Object.entries(dtypes).flatMap(([name, dtype]) => {
      const itemBytes = sizes[dtype]
      return itemBytes === undefined ? [] : [[name, { dtype, itemBytes }] as const]
    }),
  )

/** The element types of storages, by the name of the storage's class. Bytes alone take on the type of the tensor. */
export const storageTypes = typesBy({
  'torch FloatStorage': 'F32',
  'torch DoubleStorage': 'F64',
  'torch HalfStorage': 'F16',
  'torch BFloat16Storage': 'BF16',
  'torch LongStorage': 'I64',
  'torch IntStorage': 'I32',
  'torch ShortStorage': 'I16',
  'torch CharStorage': 'I8',
  'torch ByteStorage': 'U8',
  'torch BoolStorage': 'BOOL',
  'torch ComplexFloatStorage': 'C64',
  'torch ComplexDoubleStorage': 'torch.complex128',
  'torch QInt8Storage': 'torch.qint8',
  'torch QUInt8Storage': 'torch.quint8',
  'torch QInt32Storage': 'torch.qint32',
  'torch QUInt4x2Storage': 'torch.quint4x2',
  'torch QUInt2x4Storage': 'torch.quint2x4',
  'torch UntypedStorage': 'bytes',
  'torch.storage UntypedStorage': 'bytes',
})

/** The element types of tensors, by the name of the dtype. */
export const dtypeTypes = typesBy({
  'torch float32': 'F32',
  'torch float64': 'F64',
  'torch float16': 'F16',
  'torch bfloat16': 'BF16',
  'torch float8_e4m3fn': 'F8_E4M3',
  'torch float8_e5m2': 'F8_E5M2',
  'torch float8_e8m0fnu': 'F8_E8M0',
  'torch float8_e4m3fnuz': 'torch.float8_e4m3fnuz',
  'torch float8_e5m2fnuz': 'torch.float8_e5m2fnuz',
  'torch complex32': 'torch.complex32',
  'torch complex64': 'C64',
  'torch complex128': 'torch.complex128',
  'torch int64': 'I64',
  'torch int32': 'I32',
  'torch int16': 'I16',
  'torch int8': 'I8',
  'torch uint64': 'U64',
  'torch uint32': 'U32',
  'torch uint16': 'U16',
  'torch uint8': 'U8',
  'torch bool': 'BOOL',
})
