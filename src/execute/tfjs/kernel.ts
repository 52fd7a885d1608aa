/**
 * The TensorFlow.js kernels that lowerings use, each with the names under which it takes its tensors; `null` where it
 * takes a list. A backend that has these runs everything; `optional` ones are used where a backend has them.
 */
export const kernelInputs = {
  Abs: ['x'],
  Add: ['a', 'b'],
  ArgMax: ['x'],
  ArgMin: ['x'],
  BatchMatMul: ['a', 'b'],
  Cast: ['x'],
  Concat: null,
  Conv2D: ['x', 'filter'],
  Conv2DBackpropFilter: ['x', 'dy'],
  Conv2DBackpropInput: ['dy', 'filter'],
  Cos: ['x'],
  Equal: ['a', 'b'],
  Erf: ['x'],
  Exp: ['x'],
  Floor: ['x'],
  FloorDiv: ['a', 'b'],
  GatherV2: ['x', 'indices'],
  Less: ['a', 'b'],
  Log: ['x'],
  Max: ['x'],
  MaxPool: ['x'],
  Maximum: ['a', 'b'],
  Minimum: ['a', 'b'],
  Multiply: ['a', 'b'],
  Neg: ['x'],
  NotEqual: ['a', 'b'],
  OneHot: ['indices'],
  PadV2: ['x'],
  RealDiv: ['a', 'b'],
  Reshape: ['x'],
  ResizeNearestNeighbor: ['images'],
  Rsqrt: ['x'],
  Select: ['condition', 't', 'e'],
  Sigmoid: ['x'],
  Sin: ['x'],
  Slice: ['x'],
  Softmax: ['logits'],
  Sqrt: ['x'],
  Square: ['x'],
  StridedSlice: ['x'],
  Sub: ['a', 'b'],
  Sum: ['x'],
  Tanh: ['x'],
  Tile: ['x'],
  Transpose: ['x'],
} as const satisfies Readonly<Record<string, readonly string[] | null>>

export type Kernel = keyof typeof kernelInputs

export type Attribute = number | string | boolean | readonly number[] | readonly (readonly number[])[]
export type Attributes = Readonly<Record<string, Attribute>>
