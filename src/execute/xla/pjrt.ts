/**
 * PJRT's C interface, as `pjrt_c_api.h` has it from 0.81 on: where each function stands in the plugin's table, and what lies in its
 * arguments. Every function takes a pointer to one structure, whose first 8 bytes are its size, the next 8 null; then fields of 8 bytes,
 * of which smaller numbers fill the low bytes. Fields behind `>` are written by the plugin.
 */
interface Layout {
  /** In the plugin's table of functions. */
  readonly slot?: number
  readonly bytes: number
  readonly fields: readonly string[]
}

export const functions = {
  Error_Destroy: { slot: 0, bytes: 24, fields: ['error'] },
  Error_Message: { slot: 1, bytes: 40, fields: ['error', '>text', '>length'] },
  Error_GetCode: { slot: 2, bytes: 28, fields: ['error', '>code'] },
  Plugin_Initialize: { slot: 3, bytes: 16, fields: [] },
  Plugin_Attributes: { slot: 4, bytes: 32, fields: ['>attributes', '>count'] },
  Event_Destroy: { slot: 5, bytes: 24, fields: ['event'] },
  Event_IsReady: { slot: 6, bytes: 25, fields: ['event', '>ready'] },
  Event_Await: { slot: 8, bytes: 24, fields: ['event'] },
  Client_Create: {
    slot: 10,
    bytes: 88,
    fields: ['options', 'count', 'get', 'getArgument', 'put', 'putArgument', '>client', 'tryGet', 'tryGetArgument'],
  },
  Client_Destroy: { slot: 11, bytes: 24, fields: ['client'] },
  Client_PlatformName: { slot: 12, bytes: 40, fields: ['client', '>text', '>length'] },
  Client_PlatformVersion: { slot: 14, bytes: 40, fields: ['client', '>text', '>length'] },
  Client_Devices: { slot: 15, bytes: 40, fields: ['client', '>devices', '>count'] },
  Client_AddressableDevices: { slot: 16, bytes: 40, fields: ['client', '>devices', '>count'] },
  Client_Compile: { slot: 20, bytes: 56, fields: ['client', 'program', 'options', 'length', '>loaded'] },
  Client_BufferFromHostBuffer: {
    slot: 22,
    bytes: 120,
    fields: [
      ...(['client', 'data', 'type', 'dims', 'rank', 'strides', 'strideCount', 'semantics', 'device'] as const),
      ...(['memory', 'layout', '>done', '>buffer'] as const),
    ],
  },
  DeviceDescription_Id: { slot: 23, bytes: 28, fields: ['description', '>id'] },
  DeviceDescription_ProcessIndex: { slot: 24, bytes: 28, fields: ['description', '>index'] },
  DeviceDescription_Kind: { slot: 26, bytes: 40, fields: ['description', '>text', '>length'] },
  Device_GetDescription: { slot: 29, bytes: 32, fields: ['device', '>description'] },
  Device_MemoryStats: {
    slot: 34,
    bytes: 208,
    fields: [
      'device',
      '>inUse',
      '>peak',
      '>peakIsSet',
      '>allocations',
      '>allocationsIsSet',
      '>largest',
      '>largestIsSet',
      '>limit',
      '>limitIsSet',
    ],
  },
  Executable_Destroy: { slot: 40, bytes: 24, fields: ['executable'] },
  Executable_NumOutputs: { slot: 44, bytes: 32, fields: ['executable', '>count'] },
  Executable_Serialize: { slot: 49, bytes: 56, fields: ['executable', '>content', '>length', '>handle', '>deleter'] },
  LoadedExecutable_Destroy: { slot: 50, bytes: 24, fields: ['loaded'] },
  LoadedExecutable_GetExecutable: { slot: 51, bytes: 32, fields: ['loaded', '>executable'] },
  LoadedExecutable_AddressableDevices: { slot: 52, bytes: 40, fields: ['loaded', '>devices', '>count'] },
  LoadedExecutable_Execute: {
    slot: 55,
    bytes: 80,
    fields: ['loaded', 'options', 'arguments', 'devices', 'count', 'outputs', 'done', 'device'],
  },
  Executable_DeserializeAndLoad: {
    slot: 56,
    bytes: 64,
    fields: ['client', 'content', 'length', '>loaded', 'options', 'optionsLength'],
  },
  Buffer_Destroy: { slot: 58, bytes: 24, fields: ['buffer'] },
  Buffer_ToHostBuffer: { slot: 70, bytes: 56, fields: ['buffer', 'layout', 'target', 'length', '>event'] },
  Executable_GetCompiledMemoryStats: {
    slot: 96,
    bytes: 112,
    fields: [
      ...(['executable', '>code', '>arguments', '>outputs', '>alias', '>temporary'] as const),
      ...(['>hostCode', '>hostArguments', '>hostOutputs', '>hostAlias', '>hostTemporary', '>peak'] as const),
    ],
  },
} as const satisfies Readonly<Record<string, Layout & { readonly slot: number }>>
export type FunctionName = keyof typeof functions

/** Structures that others point to. */
export const structures = {
  Program: { bytes: 48, fields: ['code', 'length', 'format', 'formatLength'] },
  ExecuteOptions: { bytes: 112, fields: [] },
  NamedValue: { bytes: 56, fields: ['name', 'nameLength', 'type', 'value', 'valueLength'] },
  /** What callbacks are given; `fail` points to a function that makes an error of a code and a text. */
  KeyValueGet: {
    bytes: 80,
    fields: ['key', 'keyLength', 'within', 'fail', 'argument', '>value', '>valueLength', '>deleter'],
  },
  KeyValueTryGet: {
    bytes: 72,
    fields: ['key', 'keyLength', 'fail', 'argument', '>value', '>valueLength', '>deleter'],
  },
  KeyValuePut: { bytes: 64, fields: ['key', 'keyLength', 'value', 'valueLength', 'fail', 'argument'] },
} as const satisfies Readonly<Record<string, Layout>>

type Field<L extends Layout> = L['fields'][number]
export type Given<L extends Layout> = { readonly [F in Exclude<Field<L>, `>${string}`>]?: bigint | number }
export type Made<L extends Layout> = { readonly [F in Field<L> as F extends `>${infer N}` ? N : never]: bigint }

/** Where the fields begin. */
const first = 16
/** Where each field of a structure lies. */
export const offsetsOf = ({ fields }: Layout): Readonly<Record<string, number>> =>
  Object.fromEntries(fields.map((field, i) => [field.replace('>', ''), first + 8 * i]))
/** A structure in memory that does not move, or in that of an earlier one. */
export const laidOut = <const L extends Layout>(
  { bytes, fields }: L,
  given: Given<L>,
  view = new DataView(new ArrayBuffer(Math.ceil(bytes / 8) * 8)),
): DataView<ArrayBuffer> => {
  for (let at = 8; at < view.byteLength; at += 8) view.setBigUint64(at, 0n, true)
  view.setBigUint64(0, BigInt(bytes), true)
  const values: Readonly<Record<string, bigint | number | undefined>> = given
  fields.forEach((field, i) => {
    const value = values[field]
    if (value !== undefined) view.setBigInt64(first + 8 * i, BigInt.asIntN(64, BigInt(value)), true)
  })
  return view
}
/** What the plugin wrote into a structure. */
export const readBack = <const L extends Layout>({ fields }: L, view: DataView): Made<L> => {
  const made = Object.fromEntries(
    fields.flatMap((field, i) =>
      field.startsWith('>') ? [[field.slice(1), view.getBigUint64(first + 8 * i, true)]] : [],
    ),
  )
  return isMade<L>(fields, made) ? made : unreachable()
}
const isMade = <L extends Layout>(
  fields: readonly string[],
  made: Readonly<Record<string, bigint>>,
): made is Made<L> & Readonly<Record<string, bigint>> =>
  fields.every((field) => !field.startsWith('>') || field.slice(1) in made)
const unreachable = (): never => {
  throw new Error('a structure without its own fields')
}

/** Fields of `PJRT_Api` before its functions. */
export const api = {
  size: 0,
  major: 32,
  minor: 36,
  functions: 40,
  least: { major: 0, minor: 81 },
  bytes: 40 + 8 * 118,
} as const

/** Codes of errors; as gRPC's. */
export const codes = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const

/** Types of named values. */
export const valueTypes = { integer: 1, integers: 2, flag: 4 } as const

/** Element types. */
export const elementTypes = { bool: 1, int32: 4, float16: 10, float32: 11, bfloat16: 13 } as const

/** When the plugin is done with memory that it is given. */
export const duringCall = 0

/** Fields of protobuf's wire format: numbers, and bytes with their length. */
const varint = (x: number): readonly number[] => (x < 128 ? [x] : [(x & 127) | 128, ...varint(x >>> 7)])
const numberField = (field: number, x: number): readonly number[] => [...varint(field << 3), ...varint(x)]
const bytesField = (field: number, content: readonly number[]): readonly number[] => [
  ...varint((field << 3) | 2),
  ...varint(content.length),
  ...content,
]
/** One program for all devices, which XLA partitions as Shardy's annotations say. */
const partitioned = (devices: readonly number[]): readonly number[] => {
  const assignment = [
    ...numberField(1, 1),
    ...numberField(2, devices.length),
    ...devices.flatMap((id) => bytesField(3, bytesField(1, varint(id)))),
  ]
  return [...numberField(6, 1), ...bytesField(9, assignment), ...numberField(19, 1)]
}
/** XLA's own options, by the names that its flags have. */
export type Overrides = Readonly<Record<string, number | boolean>>
const valueField = (x: number | boolean): readonly number[] =>
  typeof x === 'boolean' ? numberField(2, Number(x)) : numberField(3, x)
/**
 * `CompileOptionsProto`: one replica and a partition for each device, both of which have to be there, and options of XLA by name. Devices
 * are named where there are several, or where `named` says so.
 */
export const compileOptions = (
  overrides: Overrides,
  devices: readonly number[] = [0],
  named = devices.length > 1,
): Uint8Array =>
  Uint8Array.from([
    ...bytesField(3, [
      ...numberField(4, 1),
      ...numberField(5, devices.length),
      ...(named || devices.length > 1 ? partitioned(devices) : []),
    ]),
    ...Object.entries(overrides).flatMap(([name, x]) =>
      bytesField(7, [...bytesField(1, [...new TextEncoder().encode(name)]), ...bytesField(2, valueField(x))]),
    ),
  ])
