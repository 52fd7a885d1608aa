import { reasonOf } from '../../error.ts'
import { roundings } from '../../graph/half.ts'
import { type DType, isHalf, type TensorType } from '../../graph/types.ts'
import type { Value } from '../executor.ts'
import type { Call, Device, Held } from '../tfjs/device.ts'
import type { Step } from '../tfjs/program.ts'
import type { Constant } from '../tfjs/value.ts'
import { type Addon, dataTypes, typeIs } from './addon.ts'
import { opOf } from './ops.ts'

/** An array of TensorFlow's, on the device. */
interface Handle extends Held {
  readonly id: number
  readonly type: TensorType
  readonly clone: () => Handle
}
const isHandle = (x: Held): x is Handle => 'id' in x
const handleOf = (x: Held): Handle => {
  if (!isHandle(x)) throw new Error('an array that is not of TensorFlow')
  return x
}

/** The last handle to go takes the array with it. */
const holding = (addon: Addon, id: number, type: TensorType): Handle => {
  let users = 0
  const handle = (): Handle => {
    users++
    let over = false
    return {
      id,
      type,
      clone: handle,
      dispose: () => {
        if (over) return
        over = true
        if (--users === 0) addon.deleteTensor(id)
      },
    }
  }
  return handle()
}

const copied = (dtype: DType, data: ArrayLike<number>): Float32Array | Int32Array | Uint8Array =>
  dtype === 'int32'
    ? Int32Array.from(data)
    : dtype === 'bool'
      ? Uint8Array.from(data)
      : isHalf(dtype)
        ? Float32Array.from(data, roundings[dtype])
        : Float32Array.from(data)
const arrayOf = ({ dtype, shape }: TensorType, data: Float32Array | Int32Array | Uint8Array): Value =>
  dtype === 'int32'
    ? { dtype, shape, data: Int32Array.from(data) }
    : dtype === 'bool'
      ? { dtype, shape, data: Uint8Array.from(data) }
      : { dtype, shape, data: data instanceof Float32Array ? data : Float32Array.from(data) }

const cast = (addon: Addon, id: number, to: DType): number => {
  const [made] = addon.executeOp('Cast', [typeIs('DstT', to)], [id], 1)
  if (made === undefined) throw new Error('Cast: it gives nothing')
  return made.id
}
/** The addon takes and gives no arrays of 16 bits: on their way they are float32's. */
const sent = (addon: Addon, { dtype, shape }: TensorType, data: ArrayLike<number>): Handle => {
  const onTheWay = isHalf(dtype) ? 'float32' : dtype
  const id = addon.createTensor([...shape], dataTypes[onTheWay], copied(dtype, data))
  if (onTheWay === dtype) return holding(addon, id, { dtype, shape })
  try {
    return holding(addon, cast(addon, id, dtype), { dtype, shape })
  } finally {
    addon.deleteTensor(id)
  }
}
const received = (addon: Addon, { id, type }: Handle): Value => {
  if (!isHalf(type.dtype)) return arrayOf(type, addon.tensorDataSync(id))
  const wide = cast(addon, id, 'float32')
  try {
    return arrayOf(type, addon.tensorDataSync(wide))
  } finally {
    addon.deleteTensor(wide)
  }
}

/** Arrays that ops read and that never change, each once: they are shapes and axes, and few. */
const constants = (addon: Addon): ((of: Constant) => number) => {
  const known = new Map<string, number>()
  return ({ type: { dtype, shape }, data }) => {
    const key = `${dtype} ${shape} ${data}`
    const id = known.get(key) ?? addon.createTensor([...shape], dataTypes[dtype], data)
    known.set(key, id)
    return id
  }
}

const idAt = (inputs: readonly Held[], i: number): number => {
  const x = inputs[i]
  if (x === undefined) throw new Error(`no input ${i}`)
  return handleOf(x).id
}
const kernelOf = (addon: Addon, constantOf: (of: Constant) => number, step: Step): Call => {
  const { name, attributes, reads } = opOf(step)
  const idsOf = reads.map((read) => {
    if (typeof read === 'number') return (inputs: readonly Held[]): number => idAt(inputs, read)
    const id = constantOf(read)
    return (): number => id
  })
  const { type } = step
  return (inputs) => {
    try {
      const ids = idsOf.map((of) => of(inputs))
      const [made] = addon.executeOp(name, attributes, ids, 1)
      if (made === undefined) throw new Error('it gives nothing')
      return holding(addon, made.id, type)
    } catch (e) {
      throw new Error(`${name}: ${reasonOf(e)}`)
    }
  }
}

export interface TensorflowDevice extends Device {
  /** `download`, at once. */
  readonly read: (x: Held) => Value
}
/** TensorFlow, through its addon. */
export const tensorflowDevice = (addon: Addon, name: string): TensorflowDevice => {
  const constantOf = constants(addon)
  const read = (x: Held): Value => received(addon, handleOf(x))
  return {
    name,
    choose: () => {},
    upload: (value) => sent(addon, 'type' in value ? value.type : value, value.data),
    download: async (x) => read(x),
    read,
    clone: (x) => handleOf(x).clone(),
    kernel: (step) => kernelOf(addon, constantOf, step),
    fault: () => undefined,
    backend: () => addon,
  }
}
