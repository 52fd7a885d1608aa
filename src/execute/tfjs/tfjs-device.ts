import type { Tensor } from '@tensorflow/tfjs-core'
import type { TensorType } from '../../graph/types.ts'
import { emptyValue, type Value } from '../executor.ts'
import type { Call, Device, Held } from './device.ts'
import { type Attribute, type Attributes, kernelInputs } from './kernel.ts'
import type { Step } from './program.ts'

export type Core = typeof import('@tensorflow/tfjs-core')

type Open = NonNullable<Parameters<ReturnType<Core['engine']>['runKernel']>[2]>
const isNested = (a: readonly number[] | readonly (readonly number[])[]): a is readonly (readonly number[])[] =>
  Array.isArray(a[0])
const opened = (a: Attribute): Open[string] =>
  typeof a !== 'object' ? a : isNested(a) ? a.map((row) => [...row]) : [...a]
/** TensorFlow.js types its attributes as changeable. */
const open = (attributes: Attributes): Open =>
  Object.fromEntries(Object.entries(attributes).map(([name, a]) => [name, opened(a)]))

const isTensor = (x: Held): x is Tensor => 'dataId' in x
export const tensorOf = (x: Held): Tensor => {
  if (!isTensor(x)) throw new Error('an array that is not of TensorFlow.js')
  return x
}

/** TensorFlow.js may hold on to the array it is given. */
const upload = (tf: Core, { dtype, shape }: TensorType, data: ArrayLike<number>): Tensor =>
  dtype === 'int32'
    ? tf.tensor(Int32Array.from(data), [...shape], 'int32')
    : dtype === 'bool'
      ? tf.tensor(Uint8Array.from(data), [...shape], 'bool')
      : tf.tensor(Float32Array.from(data), [...shape], 'float32')

const download = async (x: Tensor): Promise<Value> => {
  const [shape, data] = [[...x.shape], await x.data()]
  if (x.dtype === 'float32') return { dtype: 'float32', shape, data: Float32Array.from(data) }
  if (x.dtype === 'int32') return { dtype: 'int32', shape, data: Int32Array.from(data) }
  if (x.dtype === 'bool') return { dtype: 'bool', shape, data: Uint8Array.from(data) }
  return emptyValue('float32', shape, 0)
}

/** Concat takes a list, which only its op is typed for. */
const kernelOf = (tf: Core, { kernel, attributes }: Step): Call => {
  const names = kernelInputs[kernel]
  const given = open(attributes)
  if (names === null) {
    const { axis } = attributes
    return (inputs) => tf.concat(inputs.map(tensorOf), typeof axis === 'number' ? axis : 0)
  }
  const engine = tf.engine()
  return (inputs) => {
    const named: Record<string, Tensor> = {}
    inputs.forEach((x, i) => {
      named[names[i] ?? ''] = tensorOf(x)
    })
    return engine.runKernel<Tensor>(kernel, named, given)
  }
}

/** A backend of TensorFlow.js, by the name under which that knows it, that is ready. */
export const tfjsDevice = (tf: Core, name: string, backend: string, fault: Device['fault']): Device => ({
  name,
  choose: () => {
    if (tf.getBackend() !== backend) void tf.setBackend(backend)
  },
  upload: (value) => upload(tf, 'type' in value ? value.type : value, value.data),
  download: (x) => download(tensorOf(x)),
  clone: (x) => tensorOf(x).clone(),
  kernel: (step) => kernelOf(tf, step),
  fault,
  backend: () => tf.backend(),
})
