import {
  type Effect,
  type Errors,
  type ErrorTag,
  failure,
  type LatentError,
  reasonOf,
  type Shortage,
} from '../../error.ts'
import { TE } from '../../prelude.ts'
import type { Client, Loaded } from './client.ts'
import { codes } from './pjrt.ts'
import { PluginError } from './plugin.ts'

/** How much memory devices have and programs take, and errors of the plugin: where there is too little among them. */

/** Bytes. */
export interface DeviceMemory {
  readonly limit: number
  readonly inUse: number
}

/** The machine's own memory: what this process has, and what nobody has. */
const ofHost = (): DeviceMemory => {
  const inUse = process.memoryUsage.rss()
  return { limit: inUse + process.availableMemory(), inUse }
}
/** What a device has; undefined where it does not say. */
export const deviceMemory = ({ plugin, devices, platform }: Client): DeviceMemory | undefined => {
  if (platform === 'cpu') return ofHost()
  try {
    const { limit, limitIsSet, inUse } = plugin.call('Device_MemoryStats', { device: devices[0]?.handle ?? 0n })
    return (limitIsSet & 1n) === 1n ? { limit: Number(limit), inUse: Number(inUse) } : undefined
  } catch (e) {
    if (e instanceof PluginError) return undefined
    throw e
  }
}

/** What XLA says that a program takes. */
export interface CompiledMemory {
  readonly code: number
  readonly arguments: number
  readonly outputs: number
  /** Outputs that lie where arguments lay. */
  readonly alias: number
  readonly temporary: number
}
export const memoryOfProgram = ({ plugin }: Client, { handle }: Loaded): CompiledMemory => {
  const { executable } = plugin.call('LoadedExecutable_GetExecutable', { loaded: handle })
  try {
    const made = plugin.call('Executable_GetCompiledMemoryStats', { executable })
    return {
      code: Number(made.code),
      arguments: Number(made.arguments),
      outputs: Number(made.outputs),
      alias: Number(made.alias),
      temporary: Number(made.temporary),
    }
  } finally {
    plugin.call('Executable_Destroy', { executable })
  }
}

const units = ['B', 'K', 'M', 'G', 'T', 'P']
const shown = (bytes: number): string => {
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10))
  return power === 0 ? `${bytes} B` : `${(bytes / 2 ** (10 * power)).toFixed(1)} ${units[power]}iB`
}
export const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`

/** What XLA's allocators say that they were asked for: `allocating 2048 bytes`, `allocate request for 2.0KiB (2048B)`, `Used 20.3G of 15.5G hbm`. */
export const askedIn = (message: string): number | undefined => {
  const [, whole] = /\b(\d+) ?(?:bytes|B)\b/i.exec(message) ?? []
  if (whole !== undefined) return Number(whole)
  const [, number, unit] = /\b(\d+(?:\.\d+)?) ?([KMGTP])(?:i?B)?\b/.exec(message) ?? []
  return number === undefined || unit === undefined
    ? undefined
    : Math.round(Number(number) * 2 ** (10 * units.indexOf(unit)))
}
const lacking = (tag: ErrorTag, at: string, message: string, memory: DeviceMemory | undefined): LatentError => {
  const asked = askedIn(message)
  const free = memory && Math.max(0, memory.limit - memory.inUse)
  const shortage: Shortage = {
    ...(asked === undefined ? {} : { asked }),
    ...(memory === undefined || free === undefined ? {} : { free, limit: memory.limit }),
  }
  const [reason = ''] = message.split('\n')
  return {
    ...failure(
      tag,
      at,
      asked === undefined ? 'memory that suffices' : `memory for ${shown(asked)} more`,
      memory === undefined || free === undefined ? reason : `${shown(free)} free of ${shown(memory.limit)}: ${reason}`,
      'a smaller batch, more of them a step (accumulate), or memoryBudget',
    ),
    shortage,
  }
}

/** What a plugin throws, as an error. `memory` is what the device then has. */
export const guarded = <A>(
  tag: ErrorTag,
  at: string,
  body: () => A | Promise<A>,
  memory: () => DeviceMemory | undefined = () => undefined,
): Effect<A> =>
  TE.tryCatch(
    async () => body(),
    (e): Errors => [
      e instanceof PluginError && e.code === codes.resourceExhausted
        ? lacking(tag, at, e.message, memory())
        : failure(tag, at, `a ${tag} that succeeds`, reasonOf(e)),
    ],
  )
