import type { InferenceSession, InferenceSessionFactory, Tensor, TensorConstructor } from 'onnxruntime-node'
import type { Errors } from '../../error.ts'
import { fromHalfBits, halfBits } from '../../graph/half.ts'
import type { Task } from '../../prelude.ts'
import type { Value } from '../executor.ts'

/** What onnxruntime-node and onnxruntime-web have in common. */
export interface Library {
  readonly InferenceSession: InferenceSessionFactory
  readonly Tensor: TensorConstructor
}
/** A build of ONNX Runtime that is loaded, and what is known of where it runs. */
export interface Runtime extends Library {
  readonly version: string
  /** Whether its sessions find arrays in files, and take such as lie in memory beside the model. */
  readonly readsFiles: boolean
  /** What its sessions ask for beyond what all do. */
  readonly session: (o: { readonly threads?: number | undefined }) => InferenceSession.SessionOptions
  /** Channels a block of its blocked convolutions; null where it has none. */
  readonly blockSize: Task<number | null>
  /** What to say where a session cannot be made: other words for reasons that are known, else the errors given. */
  readonly explained: (reason: string, otherwise: Errors) => Task<Errors>
}

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
    case 'bfloat16':
      throw new Error('ONNX Runtime is not fed bfloat16')
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
