import type { Tensor } from '@tensorflow/tfjs-core'
import { type Effect, failure, reasonOf } from '../../error.ts'
import { E, TE } from '../../prelude.ts'
import { emptyValue, type Value } from '../executor.ts'
import type { Constant } from './value.ts'

export type Core = typeof import('@tensorflow/tfjs-core')
export type Tensors = Readonly<Record<string, Tensor>>

/** A backend of TensorFlow.js that is ready. */
export interface Device {
  readonly tf: Core
  /** `tfjs:wasm` */
  readonly name: string
  /** Under which TensorFlow.js knows it: `wasm` */
  readonly backend: string
  /** What the device has complained of since it was last asked: WebGPU tells after the call that is at fault. */
  readonly fault: () => string | undefined
}

/** What TensorFlow.js throws, as an error. */
export const guarded = <A>(tag: 'compile' | 'run', at: string, body: () => A): Effect<A> =>
  TE.fromIOEither(() => E.tryCatch(body, (e) => [failure(tag, at, `a ${tag} that succeeds`, reasonOf(e))]))

/** TensorFlow.js has one current backend; choosing one that is ready takes effect at once. */
export const choose = ({ tf, backend }: Device): void => {
  if (tf.getBackend() !== backend) void tf.setBackend(backend)
}

/** A copy on the device; TensorFlow.js may hold on to the array it is given. */
const upload = ({ tf }: Device, { dtype, shape, data }: Value): Tensor =>
  dtype === 'int32'
    ? tf.tensor(Int32Array.from(data), [...shape], 'int32')
    : dtype === 'bool'
      ? tf.tensor(Uint8Array.from(data), [...shape], 'bool')
      : tf.tensor(Float32Array.from(data), [...shape], 'float32')
export const uploadAll = (device: Device, values: Readonly<Record<string, Value>>): Tensors => {
  choose(device)
  return Object.fromEntries(Object.entries(values).map(([name, v]) => [name, upload(device, v)]))
}
export const uploadConstant = (device: Device, { type, data }: Constant): Tensor => {
  choose(device)
  const { dtype, shape } = type
  return device.tf.tensor(data, [...shape], dtype === 'int32' || dtype === 'bool' ? dtype : 'float32')
}

/** A copy in main memory. */
const download = async (x: Tensor): Promise<Value> => {
  const [shape, data] = [[...x.shape], await x.data()]
  if (x.dtype === 'float32') return { dtype: 'float32', shape, data: Float32Array.from(data) }
  if (x.dtype === 'int32') return { dtype: 'int32', shape, data: Int32Array.from(data) }
  if (x.dtype === 'bool') return { dtype: 'bool', shape, data: Uint8Array.from(data) }
  return emptyValue('float32', shape, 0)
}
/** Reads tensors back, and disposes of them. */
export const downloadAll = (device: Device, tensors: () => Tensors): Effect<Readonly<Record<string, Value>>> =>
  TE.tryCatch(
    async () => {
      const read = tensors()
      try {
        const all = Object.entries(read).map(async ([name, x]) => [name, await download(x)] as const)
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
export const cloneAll = (device: Device, tensors: Tensors): Tensors => {
  choose(device)
  return Object.fromEntries(Object.entries(tensors).map(([name, x]) => [name, x.clone()]))
}
export const disposeAll = (tensors: Tensors): void => {
  for (const x of Object.values(tensors)) x.dispose()
}
