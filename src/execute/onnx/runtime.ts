import type { Tensor } from 'onnxruntime-node'
import { type Effect, failure, reasonOf } from '../../error.ts'
import { fromHalfBits, halfBits } from '../../graph/half.ts'
import { TE } from '../../prelude.ts'
import type { Value } from '../executor.ts'

export type Runtime = typeof import('onnxruntime-node')

/** Loaded when first needed: 45 MB of native code that not every machine has a build for. */
export const runtime: Effect<Runtime> = TE.tryCatch(
  async () => {
    const loaded = await import('onnxruntime-node')
    loaded.env.logLevel = 'error'
    return loaded
  },
  (e) => [
    failure(
      'compile',
      'onnxruntime-node',
      'a native build of ONNX Runtime for this machine',
      reasonOf(e),
      `there are builds for linux and win32 on x64 and arm64, and darwin on arm64; this is ${process.platform} ${process.arch}`,
    ),
  ],
)

/** The runtime's view of an array, in the same memory where it can be. */
export const toTensor = ({ Tensor }: Runtime, v: Value): Tensor => {
  switch (v.dtype) {
    case 'float32':
      return new Tensor(
        'float32',
        v.data instanceof Float32Array && isPlain(v.data) ? v.data : new Float32Array(v.data),
        v.shape,
      )
    case 'float16':
      return new Tensor('float16', Uint16Array.from(v.data, halfBits), v.shape)
    case 'int32':
      return new Tensor('int32', isPlain(v.data) ? v.data : new Int32Array(v.data), v.shape)
    case 'bool':
      return new Tensor('bool', isPlain(v.data) ? v.data : new Uint8Array(v.data), v.shape)
  }
}
/** The runtime refuses shared memory. */
const isPlain = ({ buffer }: Float32Array | Int32Array | Uint8Array): boolean => buffer instanceof ArrayBuffer

/** The array of a tensor in main memory, not copied. */
export const toValue = ({ data, dims: shape, type }: Tensor): Value => {
  if (type === 'float16' && ArrayBuffer.isView(data))
    return { dtype: type, shape, data: Float32Array.from(bitsOf(data), fromHalfBits) }
  if (data instanceof Float32Array) return { dtype: 'float32', shape, data }
  if (data instanceof Int32Array) return { dtype: 'int32', shape, data }
  if (data instanceof Uint8Array) return { dtype: 'bool', shape, data }
  throw new Error(`ONNX Runtime returned a tensor of ${type}`)
}

/** Newer engines have an array type of their own for half precision. */
const bitsOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint16Array =>
  new Uint16Array(buffer, byteOffset, byteLength / 2)

export const copy = (v: Value): Value =>
  v.dtype === 'int32'
    ? { ...v, data: new Int32Array(v.data) }
    : v.dtype === 'bool'
      ? { ...v, data: new Uint8Array(v.data) }
      : { ...v, data: new Float32Array(v.data) }
