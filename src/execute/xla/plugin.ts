import { type Effect, effect, failure, reasonOf } from '../../error.ts'
import { TE } from '../../prelude.ts'
import { type Koffi, koffiOf, pin } from '../native/koffi.ts'
import { checkHash, type Place } from '../native/recorded.ts'
import { checkLibrary } from '../native/shared-object.ts'
import { api, type FunctionName, functions, type Given, laidOut, type Made, readBack } from './pjrt.ts'
import { howToGet } from './places.ts'

/** An error of the plugin, by its code. */
export class PluginError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

type Functions = typeof functions
type Arguments<N extends FunctionName> = Given<Functions[N]>
type Results<N extends FunctionName> = Made<Functions[N]>

/** A plugin in this process. Calls throw a `PluginError` where the plugin gives one. */
export interface Plugin {
  readonly path: string
  /** Of its C interface. */
  readonly version: string
  readonly call: <N extends FunctionName>(name: N, given: Arguments<N>) => Results<N>
  /** On another thread. Memory that is pointed to is the caller's to hold on to until the end. */
  readonly later: <N extends FunctionName>(name: N, given: Arguments<N>) => Promise<Results<N>>
  /** Of memory that does not move: an `ArrayBuffer` of its own. */
  readonly addressOf: (memory: ArrayBuffer) => bigint
  /** A copy of memory that is the plugin's. */
  readonly bytesAt: (address: bigint, length: number) => Uint8Array<ArrayBuffer>
  readonly textAt: (address: bigint, length: bigint) => string
  readonly pointersAt: (address: bigint, count: bigint) => readonly bigint[]
  /** Has a function of the plugin let go of what it gave. */
  readonly let: (deleter: bigint, handle: bigint) => void
}

const signature = (koffi: Koffi) => koffi.proto('void*', ['void*'])
const known = new WeakMap<Koffi, ReturnType<typeof signature>>()
const signatureOf = (koffi: Koffi): ReturnType<typeof signature> => {
  const made = known.get(koffi) ?? signature(koffi)
  known.set(koffi, made)
  return made
}

/** Of a plugin's table of functions: why it is none that this file knows, if it is none. */
export const faultOfTable = ({ bytes, major, minor }: Head): string | undefined =>
  major !== api.least.major || minor < api.least.minor || bytes < api.bytes
    ? `PJRT ${major}.${minor}, ${bytes} bytes of functions`
    : undefined
interface Head {
  readonly bytes: number
  readonly major: number
  readonly minor: number
}
/** The table of functions, where it is one that this file knows. */
const tableOf = (koffi: Koffi, path: string): { readonly table: DataView; readonly version: string } => {
  const found: unknown = koffi.load(path).func('GetPjrtApi', 'void*', [])()
  if (found === null || found === undefined) throw new Error('GetPjrtApi gives nothing')
  const head = new DataView(koffi.view(found, api.functions))
  const told: Head = {
    bytes: Number(head.getBigUint64(api.size, true)),
    major: head.getInt32(api.major, true),
    minor: head.getInt32(api.minor, true),
  }
  const fault = faultOfTable(told)
  if (fault !== undefined) throw new Error(fault)
  return { table: new DataView(koffi.view(found, api.bytes)), version: `${told.major}.${told.minor}` }
}

const opened = (koffi: Koffi, path: string): Plugin => {
  const { table, version } = tableOf(koffi, path)
  const made = new Map<FunctionName, ReturnType<Koffi['decode']>>()
  const functionOf = (name: FunctionName) => {
    const fn =
      made.get(name) ??
      koffi.decode(table.getBigUint64(api.functions + 8 * functions[name].slot, true), signatureOf(koffi))
    made.set(name, fn)
    return fn
  }
  /** What has no bytes lies somewhere too: plugins read through null. */
  const nothing = new ArrayBuffer(8)
  const addressOf = (memory: ArrayBuffer): bigint => BigInt(koffi.address(memory.byteLength === 0 ? nothing : memory))
  const bytesAt = (address: bigint, length: number): Uint8Array<ArrayBuffer> =>
    length === 0 ? new Uint8Array() : new Uint8Array(koffi.view(address, length)).slice()
  const textAt = (address: bigint, length: bigint): string => new TextDecoder().decode(bytesAt(address, Number(length)))
  const structured = <N extends FunctionName>(name: N, given: Arguments<N>): DataView<ArrayBuffer> =>
    laidOut(functions[name], given)
  /** Of calls that have ended when they return, each function has one structure: a step makes hundreds of them. */
  const reused = new Map<FunctionName, DataView<ArrayBuffer>>()
  const structuredAgain = <N extends FunctionName>(name: N, given: Arguments<N>): DataView<ArrayBuffer> => {
    const view = laidOut(functions[name], given, reused.get(name))
    reused.set(name, view)
    return view
  }
  /** The two that return nothing. */
  const plain = <N extends FunctionName>(name: N, given: Arguments<N>): Results<N> => {
    const view = structuredAgain(name, given)
    functionOf(name)(view.buffer)
    return readBack<Functions[N]>(functions[name], view)
  }
  const checked = (error: bigint | null): void => {
    if (error === null || error === 0n) return
    const code = Number(BigInt.asIntN(32, plain('Error_GetCode', { error }).code))
    const { text, length } = plain('Error_Message', { error })
    const message = textAt(text, length)
    plain('Error_Destroy', { error })
    throw new PluginError(code, message)
  }
  return {
    path,
    version,
    call: (name, given) => {
      const view = structuredAgain(name, given)
      checked(functionOf(name)(view.buffer))
      return readBack(functions[name], view)
    },
    later: (name, given) =>
      new Promise((resolve, reject) => {
        const view = structured(name, given)
        functionOf(name).async(view.buffer, (reason: unknown, error: bigint | null) => {
          try {
            if (reason !== null && reason !== undefined) throw reason
            checked(error)
            resolve(readBack(functions[name], view))
          } catch (e) {
            reject(e)
          }
        })
      }),
    addressOf,
    bytesAt,
    textAt,
    pointersAt: (address, count) => [...new BigUint64Array(bytesAt(address, 8 * Number(count)).buffer)],
    let: (deleter, handle) => void koffi.decode(deleter, signatureOf(koffi))(handle),
  }
}

/** What a library says where it is no plugin that can be taken. */
const expected = `a PJRT plugin of version ${api.least.major}.${api.least.minor} or later`
/** Loads a plugin that was found: its file is sound, of the hash written down, for this machine, and of a version that is known. Errors: `compile`. */
export const loadFrom = (place: Place): Effect<Plugin> =>
  effect(async (run) => {
    await run(checkLibrary(place.path))
    await run(checkHash(place, 'xla', howToGet))
    const koffi = await run(koffiOf)
    // What XLA logs would go between the lines of the command line.
    process.env.TF_CPP_MIN_LOG_LEVEL ??= '3'
    await run(pin(koffi, place.path, [place.path]))
    return run(
      TE.tryCatch(
        async () => {
          const plugin = opened(koffi, place.path)
          await plugin.later('Plugin_Initialize', {})
          return plugin
        },
        (e) => [failure('compile', place.path, expected, reasonOf(e), howToGet)],
      ),
    )
  })
