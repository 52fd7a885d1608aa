import { type Effect, failure, reasonOf } from '../../error.ts'
import { E, TE } from '../../prelude.ts'
import type { Value } from '../executor.ts'
import type { Step } from './program.ts'
import type { Constant } from './value.ts'

/** An array on a device, the holder's to dispose of. */
export interface Held {
  readonly dispose: () => void
}
export type Arrays = Readonly<Record<string, Held>>
/** A kernel with its attributes; what it reads stays the caller's. */
export type Call = (inputs: readonly Held[]) => Held

/** What runs kernels: a backend of TensorFlow.js, or TensorFlow itself. It takes no arrays but its own. */
export interface Device {
  /** `tfjs:wasm` */
  readonly name: string
  /** Has what follows run on it; at once, for it is ready. */
  readonly choose: () => void
  /** A copy on the device. */
  readonly upload: (value: Value | Constant) => Held
  /** A copy in main memory. */
  readonly download: (x: Held) => Promise<Value>
  /** A second handle on the same memory. */
  readonly clone: (x: Held) => Held
  readonly kernel: (step: Step) => Call
  /** What the device has complained of since it was last asked: WebGPU tells after the call that is at fault. */
  readonly fault: () => string | undefined
  /** What does the work. */
  readonly backend: () => object
}

/** What a device throws, as an error. */
export const guarded = <A>(tag: 'compile' | 'run', at: string, body: () => A): Effect<A> =>
  TE.fromIOEither(() => E.tryCatch(body, (e) => [failure(tag, at, `a ${tag} that succeeds`, reasonOf(e))]))

export const uploadAll = (device: Device, values: Readonly<Record<string, Value>>): Arrays => {
  device.choose()
  return Object.fromEntries(Object.entries(values).map(([name, v]) => [name, device.upload(v)]))
}
/** Reads arrays back, and disposes of them. */
export const downloadAll = (device: Device, arrays: () => Arrays): Effect<Readonly<Record<string, Value>>> =>
  TE.tryCatch(
    async () => {
      const read = arrays()
      try {
        const all = Object.entries(read).map(async ([name, x]) => [name, await device.download(x)] as const)
        const values = Object.fromEntries(await Promise.all(all))
        const fault = device.fault()
        if (fault !== undefined) throw new Error(fault)
        return values
      } finally {
        disposeAll(read)
      }
    },
    (e) => [failure('run', device.name, 'a run that succeeds', reasonOf(e))],
  )
/** Second handles on the same memory. */
export const cloneAll = (device: Device, arrays: Arrays): Arrays => {
  device.choose()
  return Object.fromEntries(Object.entries(arrays).map(([name, x]) => [name, device.clone(x)]))
}
export const disposeAll = (arrays: Arrays): void => {
  for (const x of Object.values(arrays)) x.dispose()
}
