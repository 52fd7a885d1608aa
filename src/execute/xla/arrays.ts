import { bfloatBits, bfloatToFloatBits, floatToHalfBits, halfToFloatBits, mapBits } from '../../graph/half.ts'
import { type DType, type Half, isHalf, size, type TensorType } from '../../graph/types.ts'
import type { Value } from '../executor.ts'

/** Numbers as bytes of the device, and back. */

const bytesPer: { readonly [D in DType]: number } = { float32: 4, float16: 2, bfloat16: 2, int32: 4, bool: 1 }
export const bytesOf = ({ dtype, shape }: TensorType): number => bytesPer[dtype] * size(shape)

const toHalf: { readonly [H in Half]: (floatBits: number) => number } = {
  float16: floatToHalfBits,
  bfloat16: bfloatBits,
}
const fromHalf: { readonly [H in Half]: (bits: number) => number } = {
  float16: halfToFloatBits,
  bfloat16: bfloatToFloatBits,
}

type Numbers = Float32Array | Float64Array | Int32Array
/** From so many on the array's own memory is read: a smaller one may move, as it lies among JavaScript's objects. */
const own = 2 ** 16
const seen = (data: Numbers): Uint8Array<ArrayBuffer> | undefined =>
  data.length >= own && data.buffer instanceof ArrayBuffer
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : undefined
/** The bytes of an array, which stays as it is while they are read: its own memory where that has them as they are. */
export const toBytes = ({ dtype, data }: Value): Uint8Array<ArrayBuffer> => {
  if (isHalf(dtype)) {
    const bits = new Uint32Array(new Float32Array(data).buffer)
    return new Uint8Array(mapBits(bits, toHalf[dtype], new Uint16Array(bits.length)).buffer)
  }
  if (dtype === 'float32')
    return (data instanceof Float32Array ? seen(data) : undefined) ?? new Uint8Array(new Float32Array(data).buffer)
  return dtype === 'int32'
    ? ((data instanceof Int32Array ? seen(data) : undefined) ?? new Uint8Array(new Int32Array(data).buffer))
    : Uint8Array.from(data, (x) => (x === 0 ? 0 : 1))
}
/** Of an array that so many devices share along its first axis, in order, what one has. */
export const partOf = (bytes: Uint8Array<ArrayBuffer>, device: number, devices: number): Uint8Array<ArrayBuffer> => {
  const length = bytes.length / devices
  return bytes.subarray(device * length, (device + 1) * length)
}
/** The array whose bytes these are; it keeps the memory. */
export const fromBytes = ({ dtype, shape }: TensorType, memory: ArrayBuffer): Value => {
  const n = size(shape)
  if (isHalf(dtype)) {
    const bits = mapBits(new Uint16Array(memory, 0, n), fromHalf[dtype], new Uint32Array(n))
    return { dtype, shape, data: new Float32Array(bits.buffer) }
  }
  if (dtype === 'float32') return { dtype, shape, data: new Float32Array(memory, 0, n) }
  return dtype === 'int32'
    ? { dtype, shape, data: new Int32Array(memory, 0, n) }
    : { dtype, shape, data: new Uint8Array(memory, 0, n) }
}
