import { reasonOf } from '../../error.ts'
import { breathing } from '../breath.ts'
import type { Value, Values } from '../executor.ts'
import type { Types } from '../feeds.ts'
import { bytesOf, fromBytes, partOf, toBytes } from './arrays.ts'
import { download, drop, type Loaded, unload, upload } from './client.ts'
import type { Engine } from './engine.ts'
import { elementTypes } from './pjrt.ts'

/** Arrays by name, of each device its own. */
export type Arrays = Readonly<Record<string, readonly bigint[]>>
export const dropAll = ({ client }: Engine, arrays: Arrays): void => drop(client, Object.values(arrays).flat())
/** The same while others have turns, of all that a program has. */
const dropInTurns = async ({ client }: Engine, arrays: Arrays): Promise<void> => {
  const breath = breathing()
  for (const own of Object.values(arrays)) {
    drop(client, own)
    await breath()
  }
}

/** Lets go of arrays, and of the program that took them. Nobody waits for it, so what the plugin complains of is a warning of the process. */
export const release = async (engine: Engine, arrays: readonly Arrays[], loaded?: Loaded): Promise<void> => {
  const ways = [
    ...arrays.map((own) => () => dropInTurns(engine, own)),
    ...(loaded === undefined ? [] : [() => unload(engine.client, loaded)]),
  ]
  for (const way of ways)
    await way().catch((e: unknown) => process.emitWarning(`${engine.name}: memory was not given back: ${reasonOf(e)}`))
}

/** Among how many devices arrays are cut, and which of them is this process's first. */
export interface Cut {
  readonly devices: number
  readonly first: number
}
/** A copy on each device, or of the parts along the first axis its own on each. */
export const uploadOne = async ({ client }: Engine, value: Value, cut?: Cut): Promise<readonly bigint[]> => {
  const bytes = toBytes(value)
  const [first = 1, ...rest] = value.shape
  const shape = cut === undefined ? value.shape : [first / cut.devices, ...rest]
  const made: bigint[] = []
  try {
    for (const [i, device] of client.devices.entries()) {
      const own = cut === undefined ? bytes : partOf(bytes, cut.first + i, cut.devices)
      made.push(await upload(client, device, own, elementTypes[value.dtype], shape))
    }
    return made
  } catch (e) {
    drop(client, made)
    throw e
  }
}
/** Copies on the devices of what a program reads. */
export const uploadAll = async (
  engine: Engine,
  values: Values,
  sharded: ReadonlySet<string>,
  cut: Cut,
): Promise<Arrays> => {
  const made: Record<string, readonly bigint[]> = {}
  const breath = breathing()
  try {
    for (const [name, value] of Object.entries(values)) {
      made[name] = await uploadOne(engine, value, sharded.has(name) ? cut : undefined)
      await breath()
    }
    return made
  } catch (e) {
    dropAll(engine, made)
    throw e
  }
}
/** Of one device what each has whole, of all the parts of the others, one behind another. */
export const downloadAll = async (
  { client }: Engine,
  types: Types,
  arrays: Arrays,
  sharded: ReadonlySet<string>,
): Promise<Values> => {
  const read: [string, Value][] = []
  const breath = breathing()
  for (const [name, type] of Object.entries(types)) {
    const all = arrays[name] ?? []
    const [whole] = all
    if (whole === undefined) continue
    const bytes = bytesOf(type)
    if (!sharded.has(name)) read.push([name, fromBytes(type, await download(client, whole, bytes))])
    else {
      const length = bytes / all.length
      const joined = new Uint8Array(bytes)
      for (const [i, part] of all.entries())
        joined.set(new Uint8Array(await download(client, part, length)), i * length)
      read.push([name, fromBytes(type, joined.buffer)])
    }
    await breath()
  }
  return Object.fromEntries(read)
}
