import { roundings } from '../../graph/half.ts'
import { type DType, type Half, isHalf, type Shape, size, type TensorType } from '../../graph/types.ts'
import type { Value as ArrayValue } from '../executor.ts'
import type { Held } from '../tfjs/device.ts'
import type { Attributes, Kernel } from '../tfjs/kernel.ts'
import { type Call, cast, dtypeOf, type Rewriting, type Value } from '../tfjs/value.ts'
import type { TensorflowDevice } from './device.ts'

/**
 * Half precision on TensorFlow. Not every kernel has it on every device, and on the CPU some add up in 16 bits: so TensorFlow is asked, with
 * small arrays, before a kernel is believed. What fails is computed in float32, between casts.
 */

/** Arrays of half precision by their shapes, others as they are. */
interface Sample {
  readonly inputs: readonly (Shape | ArrayValue)[]
  readonly attributes: Attributes
  readonly made: Shape | TensorType
}
const sample = (inputs: Sample['inputs'], made: Sample['made'], attributes: Attributes = {}): Sample => ({
  inputs,
  attributes,
  made,
})
const rows: Shape = [3, 67]
const one: readonly Sample[] = [sample([rows], rows)]
const two: readonly Sample[] = [sample([rows, [67]], rows), sample([[201], [201]], [201])]
const compared: readonly Sample[] = [sample([rows, [67]], { dtype: 'bool', shape: rows })]
const product = (a: Shape, b: Shape, made: Shape, transposeA: boolean, transposeB: boolean): Sample =>
  sample([a, b], made, { transposeA, transposeB })
const convolution = (x: Shape, filter: Shape, made: Shape, strides: Shape, pad: Attributes[string]): Sample =>
  sample([x, filter], made, { strides, pad, dataFormat: 'NHWC', dilations: [1, 1] })
const aside: Attributes[string] = [
  [0, 0],
  [0, 1],
  [0, 1],
  [0, 0],
]

/** Sums are long enough for 16 bits to show that they do not hold them. */
const samples: { readonly [K in Kernel]?: readonly Sample[] } = {
  Abs: one,
  Add: two,
  BatchMatMul: [
    product([1, 5, 512], [1, 512, 18], [1, 5, 18], false, false),
    product([2, 300, 3], [2, 7, 300], [2, 3, 7], true, true),
  ],
  Concat: [
    sample(
      [
        [2, 3],
        [2, 5],
      ],
      [2, 8],
      { axis: 1 },
    ),
  ],
  Conv2D: [
    convolution([2, 6, 6, 256], [1, 1, 256, 16], [2, 6, 6, 16], [1, 1], 'valid'),
    convolution([2, 9, 9, 40], [3, 3, 40, 8], [2, 9, 9, 8], [1, 1], 'same'),
    convolution([1, 8, 8, 33], [3, 3, 33, 5], [1, 4, 4, 5], [2, 2], aside),
  ],
  Equal: compared,
  Floor: one,
  GatherV2: [
    sample([[5, 4], { dtype: 'int32', shape: [3], data: Int32Array.of(4, 0, 2) }], [3, 4], { axis: 0, batchDims: 0 }),
  ],
  Less: compared,
  MaxPool: [sample([[1, 4, 6, 3]], [1, 2, 2, 3], { filterSize: [2, 3], strides: [2, 3], pad: 'valid' })],
  Maximum: two,
  Minimum: two,
  Multiply: two,
  Neg: one,
  NotEqual: compared,
  PadV2: [
    sample([[2, 3]], [3, 5], {
      paddings: [
        [1, 0],
        [0, 2],
      ],
      constantValue: 0,
    }),
  ],
  RealDiv: two,
  Reshape: [sample([rows], [67, 3], { shape: [67, 3] })],
  ResizeNearestNeighbor: [
    sample([[1, 2, 3, 4]], [1, 4, 9, 4], { alignCorners: false, halfPixelCenters: false, size: [4, 9] }),
  ],
  Select: [sample([{ dtype: 'bool', shape: [4], data: Uint8Array.of(1, 0, 0, 1) }, [4], [4]], [4])],
  Sigmoid: one,
  Slice: [sample([rows], [2, 60], { begin: [1, 7], size: [2, 60] })],
  Sub: two,
  Tanh: one,
  Tile: [sample([rows], [6, 67], { reps: [2, 1] })],
  Transpose: [sample([rows], [67, 3], { perm: [1, 0] })],
}

/** Of either sign in the first array, positive in others and in products, whose sums then do not cancel. */
const numbersOf = (kernel: Kernel, shape: Shape, operand: number, dtype: Half): ArrayValue => {
  const signed = operand === 0 && kernel !== 'BatchMatMul' && kernel !== 'Conv2D'
  const data = Float32Array.from({ length: size(shape) }, (_, i) => {
    const wave = Math.sin(1.7 * i + operand + 0.3)
    return roundings[dtype](signed ? 3 * wave : 1 + 0.9 * wave)
  })
  return { dtype, shape, data }
}

/** Half of a number's spacing, relative to it; an eighth of that for sums in another order. */
const allowed = { float16: 2 ** -11 * 1.125, bfloat16: 2 ** -8 * 1.125 } as const
const isShape = (x: Shape | ArrayValue | TensorType): x is Shape => Array.isArray(x)

/** What a kernel makes of arrays in a dtype. */
const madeIn = (device: TensorflowDevice, kernel: Kernel, of: Sample, dtype: Half, computed: DType): ArrayValue => {
  const given = of.inputs.map((x, i): ArrayValue => {
    if (!isShape(x)) return x
    const numbers = numbersOf(kernel, x, i, dtype)
    return numbers.dtype === dtype && computed === 'float32' ? { ...numbers, dtype: 'float32' } : numbers
  })
  const held: Held[] = []
  try {
    for (const value of given) held.push(device.upload(value))
    const type = isShape(of.made) ? { dtype: computed, shape: of.made } : of.made
    const inputs = held.map((_, i) => i)
    const call = device.kernel({ kernel, attributes: of.attributes, inputs, output: held.length, type, ends: [] })
    const made = call([...held])
    held.push(made)
    return device.read(made)
  } finally {
    for (const x of held) x.dispose()
  }
}
const agrees = (device: TensorflowDevice, kernel: Kernel, of: Sample, dtype: Half): boolean => {
  const [half, wide] = [madeIn(device, kernel, of, dtype, dtype), madeIn(device, kernel, of, dtype, 'float32')]
  return (
    half.data.length === wide.data.length &&
    wide.data.every((y, i) => Math.abs((half.data[i] ?? Number.NaN) - y) <= allowed[dtype] * Math.abs(y))
  )
}

/**
 * Not asked on the CPU: with AVX-512's bfloat16 and float16 TensorFlow 2.21 computes small products from wrong places where one array meets
 * several or strides leave places out, and reads beyond arrays, which ends the process, where padding is wider than the kernel.
 */
const doubtedOnCpu: readonly Kernel[] = ['BatchMatMul', 'Conv2D']

/** Whether a kernel takes half precision and makes of it what float32 does, rounded once: each is asked once. */
export const computesIn = (
  device: TensorflowDevice,
  on: { readonly gpu: boolean },
): ((kernel: Kernel, dtype: Half) => boolean) => {
  const known = new Map<string, boolean>()
  const asked = (kernel: Kernel, dtype: Half): boolean => {
    if (!on.gpu && doubtedOnCpu.includes(kernel)) return false
    const own = samples[kernel]
    try {
      return own?.every((of) => agrees(device, kernel, of, dtype)) ?? false
    } catch {
      return false
    }
  }
  return (kernel, dtype) => {
    const key = `${kernel} ${dtype}`
    const found = known.get(key) ?? asked(kernel, dtype)
    known.set(key, found)
    return found
  }
}

const halfOf = (of: Call): Half | undefined => [of, ...of.inputs].map(dtypeOf).find(isHalf)
/** In float32 between casts, whatever is not computed in half precision. */
export const widening =
  (computes: (kernel: Kernel, dtype: Half) => boolean): Rewriting =>
  (of) => {
    const dtype = halfOf(of)
    if (dtype === undefined || of.kernel === 'Cast' || computes(of.kernel, dtype)) return of
    const inputs = of.inputs.map((x): Value => (dtypeOf(x) === dtype ? cast(x, 'float32') : x))
    const wide: Call = {
      ...of,
      inputs,
      type: of.type.dtype === dtype ? { ...of.type, dtype: 'float32' } : of.type,
      insteadOf: dtype,
    }
    return cast(wide, of.type.dtype)
  }
