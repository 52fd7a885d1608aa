/** The addon of `@tensorflow/tfjs-node`: TensorFlow's eager C interface, an array a number. */

export interface Attribute {
  readonly name: string
  readonly type: number
  readonly value: number | boolean | string | readonly number[]
}
interface Made {
  readonly id: number
}
export interface Addon {
  /** Keeps hold of the array. */
  readonly createTensor: (
    shape: readonly number[],
    dtype: number,
    data: Float32Array | Int32Array | Uint8Array,
  ) => number
  readonly deleteTensor: (id: number) => void
  /** A copy. */
  readonly tensorDataSync: (id: number) => Float32Array | Int32Array | Uint8Array
  readonly executeOp: (
    op: string,
    attributes: readonly Attribute[],
    inputs: readonly number[],
    outputs: number,
  ) => readonly Made[]
  readonly getNumOfTensors: () => number
  readonly isUsingGpuDevice: () => boolean
  readonly TF_Version: string
}

const functions = [
  'createTensor',
  'deleteTensor',
  'tensorDataSync',
  'executeOp',
  'getNumOfTensors',
  'isUsingGpuDevice',
] as const
export const isAddon = (x: unknown): x is Addon =>
  typeof x === 'object' &&
  x !== null &&
  functions.every((name) => typeof Reflect.get(x, name) === 'function') &&
  typeof Reflect.get(x, 'TF_Version') === 'string'

/** TF_DataType */
export const dataTypes = { float32: 1, int32: 3, bool: 10, bfloat16: 14, float16: 19 } as const
const attributeTypes = { string: 0, int: 1, bool: 3, type: 4 } as const
const attribute =
  (type: keyof typeof attributeTypes) =>
  (name: string, value: Attribute['value']): Attribute => ({ name, type: attributeTypes[type], value })
export const text = attribute('string')
export const int = attribute('int')
export const flag = attribute('bool')
export const typeIs = (name: string, dtype: keyof typeof dataTypes): Attribute =>
  attribute('type')(name, dataTypes[dtype])
