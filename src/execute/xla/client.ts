import { breathing } from '../breath.ts'
import type { Group } from '../ranks/group.ts'
import { keyValuesOf } from './key-values.ts'
import { codes, compileOptions, duringCall, laidOut, type Overrides, structures, valueTypes } from './pjrt.ts'
import { type Plugin, PluginError } from './plugin.ts'

/** A device of a platform through its plugin: what compiles and holds arrays. */
export interface Client {
  readonly plugin: Plugin
  readonly handle: bigint
  /** As the plugin calls it: `cpu`, `cuda`. */
  readonly platform: string
  /** Of the compiler behind the plugin. */
  readonly version: string
  /** Those that share the work, in the order in which a program takes their parts of arrays. */
  readonly devices: readonly Device[]
  /** Where other processes share it too. */
  readonly across?: Across
}
/** The devices of all processes, by their numbers, those of a process side by side; the first of this one's among them. */
export interface Across {
  readonly ids: readonly number[]
  readonly first: number
}
export interface Device {
  readonly handle: bigint
  readonly id: number
  readonly kind: string
}

/** So many bytes are much: they are copied on another thread, or piece by piece. */
const large = 2 ** 20
/** Where bytes lie in memory. */
const startOf = ({ addressOf }: Plugin, { buffer, byteOffset }: Uint8Array<ArrayBuffer>): bigint =>
  addressOf(buffer) + BigInt(byteOffset)

const memoryOf = (text: string | Uint8Array): ArrayBuffer => {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text
  const memory = new ArrayBuffer(bytes.length)
  new Uint8Array(memory).set(bytes)
  return memory
}
const pointers = (addresses: readonly bigint[]): ArrayBuffer => BigUint64Array.from(addresses).buffer

/** How a client is made, where a platform leaves something to choose. */
type Options = Readonly<Record<string, number | boolean | readonly number[]>>
const optionsOf: Readonly<Record<string, (devices: number) => Options>> = {
  // As many as are asked for, of the one processor.
  cpu: (devices) => ({ cpu_device_count: devices }),
  cuda: () => ({ preallocate: false }),
  rocm: () => ({ preallocate: false }),
}
const valued = (value: Options[string]) =>
  typeof value === 'object'
    ? { type: valueTypes.integers, list: BigInt64Array.from(value, BigInt).buffer, valueLength: value.length }
    : { type: typeof value === 'boolean' ? valueTypes.flag : valueTypes.integer, value: Number(value), valueLength: 1 }
const named = ({ addressOf }: Plugin, options: Options) => {
  const size = structures.NamedValue.bytes
  const entries = Object.entries(options)
  const all = new Uint8Array(size * entries.length)
  const pointed = entries.map(([key, value], i) => {
    const { list, ...rest } = { list: undefined, ...valued(value) }
    const name = memoryOf(key)
    const one = laidOut(structures.NamedValue, {
      name: addressOf(name),
      nameLength: name.byteLength,
      ...rest,
      ...(list === undefined ? {} : { value: addressOf(list) }),
    })
    all.set(new Uint8Array(one.buffer), i * size)
    return [name, ...(list === undefined ? [] : [list])]
  })
  return { memory: all.buffer, pointed: pointed.flat(), count: entries.length }
}

/** Of a machine's devices those that a process takes, where its launcher has not chosen: as many for each, side by side. */
export const visibleTo = (
  localRank: number | undefined,
  count: number,
  listed: string | undefined,
): readonly number[] | undefined => {
  const chosen = (listed ?? '').split(',').filter((id) => id.trim() !== '').length
  return localRank === undefined || chosen === count
    ? undefined
    : Array.from({ length: count }, (_, i) => localRank * count + i)
}
/** The variable by which a launcher, or a person, chooses devices. */
const choosing: Readonly<Record<string, string>> = { cuda: 'CUDA_VISIBLE_DEVICES', rocm: 'ROCR_VISIBLE_DEVICES' }
const joining = (platform: string, count: number, { rank, ranks, localRank }: Group['placement']): Options => {
  const variable = choosing[platform]
  const visible = variable === undefined ? undefined : visibleTo(localRank, count, process.env[variable])
  return { node_id: rank, num_nodes: ranks, ...(visible === undefined ? {} : { visible_devices: visible }) }
}

const described = (plugin: Plugin, device: bigint) => {
  const { description } = plugin.call('Device_GetDescription', { device })
  const { text, length } = plugin.call('DeviceDescription_Kind', { description })
  const { id } = plugin.call('DeviceDescription_Id', { description })
  const { index } = plugin.call('DeviceDescription_ProcessIndex', { description })
  const whole = (x: bigint): number => Number(BigInt.asIntN(32, x))
  return { handle: device, id: whole(id), kind: plugin.textAt(text, length), process: whole(index) }
}
const joinsNone = (why: string): string => `a plugin that cannot join several processes: ${why}`
/** The first devices of each process. Throws where the plugin has joined others, or none. */
const acrossAll = (plugin: Plugin, client: bigint, wanted: number, { rank, ranks }: Group['placement']): Across => {
  const { devices, count } = plugin.call('Client_Devices', { client })
  const all = plugin.pointersAt(devices, count).map((device) => described(plugin, device))
  const processes = new Set(all.map(({ process: index }) => index))
  if (processes.size !== ranks) throw new Error(joinsNone(`asked for ${ranks} processes it has made ${processes.size}`))
  const ids = Array.from({ length: ranks }, (_, r) => {
    const own = all.filter(({ process: index }) => index === r).toSorted((a, b) => a.id - b.id)
    if (own.length < wanted) throw new Error(`rank ${r} has ${own.length} of the ${wanted} devices that were asked for`)
    return own.slice(0, wanted).map(({ id }) => id)
  })
  return { ids: ids.flat(), first: rank * wanted }
}

/** So many devices of this process, and of each of a group. Errors of the plugin are thrown. */
export const createClient = async (
  plugin: Plugin,
  platform: string,
  wanted: number,
  group?: Group,
): Promise<Client> => {
  const store = group === undefined ? undefined : await keyValuesOf(group)
  const created = async (options: Options): Promise<bigint> => {
    const given = named(plugin, options)
    const { client } = await plugin.later('Client_Create', {
      options: plugin.addressOf(given.memory),
      count: given.count,
      ...store,
    })
    held(given.memory, ...given.pointed)
    return client
  }
  const options = optionsOf[platform]?.(wanted) ?? {}
  const handle = await created({ ...options, ...(group && joining(platform, wanted, group.placement)) }).catch(
    (e: unknown) => {
      if (!(e instanceof PluginError) || e.code !== codes.invalidArgument) throw e
      if (group !== undefined) throw new Error(joinsNone(e.message))
      // A plugin that does not know an option has its own way.
      return created({})
    },
  )
  const name = plugin.call('Client_PlatformName', { client: handle })
  const version = plugin.call('Client_PlatformVersion', { client: handle })
  const { devices, count } = plugin.call('Client_AddressableDevices', { client: handle })
  if (Number(count) < wanted) throw new Error(`${count} of the ${wanted} devices that were asked for`)
  const own = plugin.pointersAt(devices, count).map((device) => described(plugin, device))
  return {
    plugin,
    handle,
    platform: plugin.textAt(name.text, name.length).toLowerCase(),
    version: plugin.textAt(version.text, version.length),
    devices: (group === undefined ? own : own.toSorted((a, b) => a.id - b.id)).slice(0, wanted),
    ...(group === undefined ? {} : { across: acrossAll(plugin, handle, wanted, group.placement) }),
  }
}

/** A compiled program in the plugin. */
export interface Loaded {
  readonly handle: bigint
  readonly outputs: number
}
const loadedOf = ({ plugin, devices: own }: Client, handle: bigint): Loaded => {
  const { devices, count: parts } = plugin.call('LoadedExecutable_AddressableDevices', { loaded: handle })
  const order = plugin.pointersAt(devices, parts)
  if (own.length !== order.length || own.some((d, i) => d.handle !== order[i]))
    throw new Error(`a program on ${order.length} devices of another order`)
  const { executable } = plugin.call('LoadedExecutable_GetExecutable', { loaded: handle })
  const { count } = plugin.call('Executable_NumOutputs', { executable })
  plugin.call('Executable_Destroy', { executable })
  return { handle, outputs: Number(count) }
}
/** The same program, run again, gives the same bits. Left to itself XLA takes atomic sums on a card where they are faster. */
const sameBits: Overrides = { xla_gpu_exclude_nondeterministic_ops: true }
/**
 * On the CPU the first level of optimising compiles in two thirds of the time of the default; what it makes runs as fast, but
 * that small networks draw a tenth slower. Of a NaN and a number the greater is NaN, as on cards: left to itself it hides one.
 */
const overridesOf: Readonly<Record<string, Overrides>> = {
  cpu: { xla_backend_optimization_level: 1, xla_cpu_enable_fast_min_max: false },
  cuda: sameBits,
  rocm: sameBits,
}
/** What programs of a platform are compiled with. */
export const overridesFor = (platform: string): Overrides => overridesOf[platform] ?? {}
/** Compiles StableHLO for devices of these numbers, on another thread. */
export const compileText = async (
  client: Client,
  text: string,
  ids: readonly number[] = client.devices.map(({ id }) => id),
): Promise<Loaded> => {
  const { plugin } = client
  const [code, format, options] = [
    memoryOf(text),
    memoryOf('mlir'),
    memoryOf(compileOptions(overridesFor(client.platform), ids, client.across !== undefined)),
  ]
  const program = laidOut(structures.Program, {
    code: plugin.addressOf(code),
    length: code.byteLength,
    format: plugin.addressOf(format),
    formatLength: format.byteLength,
  }).buffer
  const { loaded } = await plugin.later('Client_Compile', {
    client: client.handle,
    program: plugin.addressOf(program),
    options: plugin.addressOf(options),
    length: options.byteLength,
  })
  held(code, format, options, program)
  return loadedOf(client, loaded)
}
/** Memory that a call on another thread reads is reachable until here. */
const held = (..._memory: readonly ArrayBuffer[]): void => {}

export const serialised = async ({ plugin }: Client, { handle }: Loaded): Promise<Uint8Array<ArrayBuffer>> => {
  const { executable } = plugin.call('LoadedExecutable_GetExecutable', { loaded: handle })
  try {
    const made = await plugin.later('Executable_Serialize', { executable })
    const bytes = new Uint8Array(Number(made.length))
    const breath = breathing()
    for (let at = 0; at < bytes.length; at += large) {
      bytes.set(plugin.bytesAt(made.content + BigInt(at), Math.min(large, bytes.length - at)), at)
      await breath()
    }
    plugin.let(made.deleter, made.handle)
    return bytes
  } finally {
    plugin.call('Executable_Destroy', { executable })
  }
}
export const deserialised = async (client: Client, content: Uint8Array<ArrayBuffer>): Promise<Loaded> => {
  const { loaded } = await client.plugin.later('Executable_DeserializeAndLoad', {
    client: client.handle,
    content: startOf(client.plugin, content),
    length: content.byteLength,
  })
  held(content.buffer)
  return loadedOf(client, loaded)
}

/** On another thread: machine code is many pages. */
export const unload = async ({ plugin }: Client, { handle }: Loaded): Promise<void> => {
  await plugin.later('LoadedExecutable_Destroy', { loaded: handle })
}

/** Waits on another thread, or on this one where that is `soon`, and lets go. */
const awaited = async ({ plugin }: Client, event: bigint, soon = false): Promise<void> => {
  if (event === 0n) return
  try {
    if (soon || (plugin.call('Event_IsReady', { event }).ready & 1n) === 1n) plugin.call('Event_Await', { event })
    else await plugin.later('Event_Await', { event })
  } finally {
    plugin.call('Event_Destroy', { event })
  }
}

/** An array on a device, a copy: the bytes stay as they are until it is made. */
export const upload = async (
  client: Client,
  device: Device,
  bytes: Uint8Array<ArrayBuffer>,
  type: number,
  shape: readonly number[],
): Promise<bigint> => {
  const { plugin, handle } = client
  const dims = BigInt64Array.from(shape, BigInt).buffer
  const given = {
    client: handle,
    data: startOf(plugin, bytes),
    type,
    dims: plugin.addressOf(dims),
    rank: shape.length,
    semantics: duringCall,
    device: device.handle,
  }
  const { done, buffer } =
    bytes.byteLength >= large
      ? await plugin.later('Client_BufferFromHostBuffer', given)
      : plugin.call('Client_BufferFromHostBuffer', given)
  held(dims, bytes.buffer)
  await awaited(client, done)
  return buffer
}
/** Copies an array of the device, which is computed, into memory. */
export const download = async (client: Client, buffer: bigint, bytes: number): Promise<ArrayBuffer> => {
  const isLarge = bytes >= large
  const memory = new ArrayBuffer(Math.max(bytes, 8))
  const given = { buffer, target: client.plugin.addressOf(memory), length: bytes }
  const { event } = isLarge
    ? await client.plugin.later('Buffer_ToHostBuffer', given)
    : client.plugin.call('Buffer_ToHostBuffer', given)
  await awaited(client, event, !isLarge)
  held(memory)
  return memory
}
export const drop = ({ plugin }: Client, buffers: Iterable<bigint>): void => {
  for (const buffer of buffers) plugin.call('Buffer_Destroy', { buffer })
}

/** Runs a program over arrays, of each device its own; what comes of it is there when the promise is kept. */
export const execute = async (
  client: Client,
  { handle, outputs }: Loaded,
  given: readonly (readonly bigint[])[],
): Promise<readonly (readonly bigint[])[]> => {
  const { plugin } = client
  const inputs = given.map((own) => pointers(own.length === 0 ? [0n] : own))
  const results = given.map(() => new BigUint64Array(Math.max(outputs, 1)))
  const done = new BigUint64Array(given.length)
  const [inputLists, outputLists] = [inputs, results.map((r) => r.buffer)].map((lists) =>
    pointers(lists.map(plugin.addressOf)),
  )
  if (inputLists === undefined || outputLists === undefined) return []
  const options = laidOut(structures.ExecuteOptions, {}).buffer
  // Where others take part, it may wait for them.
  const begin = client.across === undefined ? plugin.call : plugin.later
  await begin('LoadedExecutable_Execute', {
    loaded: handle,
    options: plugin.addressOf(options),
    arguments: plugin.addressOf(inputLists),
    devices: given.length,
    count: given[0]?.length ?? 0,
    outputs: plugin.addressOf(outputLists),
    done: plugin.addressOf(done.buffer),
  })
  held(...inputs, inputLists, outputLists, options, done.buffer)
  const made = results.map((r) => [...r.subarray(0, outputs)])
  const ends = await Promise.allSettled([...done].map((event) => awaited(client, event)))
  const failed = ends.find((end) => end.status === 'rejected')
  if (failed === undefined) return made
  drop(client, made.flat())
  throw failed.reason
}
