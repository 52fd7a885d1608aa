import type { Effect } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { type DType, type Half, isFloat, type Shape } from '../graph/types.ts'
import type { IO } from '../prelude.ts'
import type { Telling } from './explain.ts'

/** An array in memory, row-major. Bools are 0 or 1. Numbers of float16 and bfloat16 are held in 32 bits or more. */
export type Value =
  | { readonly dtype: 'float32'; readonly shape: Shape; readonly data: Float32Array | Float64Array }
  | { readonly dtype: Half; readonly shape: Shape; readonly data: Float32Array | Float64Array }
  | { readonly dtype: 'int32'; readonly shape: Shape; readonly data: Int32Array }
  | { readonly dtype: 'bool'; readonly shape: Shape; readonly data: Uint8Array }
/** Arrays by name: feeds by leaf, results by output. */
export type Values = Readonly<Record<string, Value>>

/** Numbers as an array of float32; those of float64 are rounded where an executor has float32. */
export const floats = (shape: Shape, data: Float32Array | Float64Array): Value => ({ dtype: 'float32', shape, data })
/** Whole numbers as an array of int32. */
export const ints = (shape: Shape, data: Int32Array): Value => ({ dtype: 'int32', shape, data })

/** How numbers lie in a file, little-endian. */
export type FileElement = 'float32' | 'float16' | 'bfloat16'
/** Numbers that lie in a file, row-major, from `position` on: as many as the shape has. They stay as they are while a program lives. */
export interface FileArray {
  readonly path: string
  readonly position: number
  readonly element: FileElement
  readonly shape: Shape
  /** The same in memory, in single precision. */
  readonly read: Effect<Value>
}
/** Arrays that lie in files, by leaf. */
export type FileArrays = Readonly<Record<string, FileArray>>

/** How a graph is compiled. */
export interface CompileOptions {
  /**
   * `sampling` lets the runtime optimise around constant weights, `training` keeps session building short and
   * leaves optimisation to our own transforms.
   */
  readonly mode: 'sampling' | 'training'
  /** Leaves to bake in as constants (weights, when sampling). They are then no longer fed. */
  readonly constants?: Values
  /**
   * Leaves to bake in from files, each widened to single precision: large weights then are in memory once, on ONNX Runtime not even in
   * JavaScript's.
   *
   *     executor.compile(graph, { mode: 'sampling', files: await run(fileArrays('unet.safetensors')) })
   */
  readonly files?: FileArrays
  /** Intra-op threads; the executor's own choice where left out. */
  readonly threads?: number
  /** Whether a NaN or an infinity among the constants, the feeds or the initial state is an error; otherwise they are fed. */
  readonly checkFinite?: boolean
}

/** Which output of a step becomes which input of the next: output name -> leaf name. */
export type Carry = Readonly<Record<string, string>>

/** An engine that runs graphs. `contracted` makes one of an engine that checks nothing. */
export interface Executor extends Telling {
  /** `reference`, `onnx:cpu`, `onnx:webgpu`, `tfjs:wasm` */
  readonly name: string
  readonly compile: (graph: Graph, options: CompileOptions) => Effect<Executable>
}

/** A compiled graph. After `dispose` everything is a `run` error. */
export interface Executable {
  /** Feeds every leaf by name; returns every output by name. Missing, extra and mis-typed feeds are `run` errors. */
  readonly run: (feeds: Values) => Effect<Values>
  /**
   * Keeps arrays on the device between steps: the carried ones, and those that `initial` has beside them, which are held. A held
   * leaf is given once and never replaced, as weights that are not trained; what it was given stays as it is as long as the stepper.
   */
  readonly start: (carry: Carry, initial: Values) => Effect<Stepper>
  /** Ends its steppers too. */
  readonly dispose: IO<void>
}

/** A compiled graph with its state. A step that begins while another runs is a `run` error. */
export interface Stepper {
  /** Feeds what is neither carried nor held; returns the outputs that are not carried. */
  readonly step: (feeds: Values) => Effect<Values>
  /**
   * Brings some of a step's feeds to the device, while another step runs: the step that is fed the rest, to be taken once. An engine
   * that would gain nothing has none.
   */
  readonly ahead?: (feeds: Values) => Effect<Stepper['step']>
  /** A copy of the carried state, by leaf name. */
  readonly read: Effect<Values>
  readonly dispose: IO<void>
}

export const emptyValue = (dtype: DType, shape: Shape, length: number): Value =>
  isFloat(dtype)
    ? { dtype, shape, data: new Float32Array(length) }
    : dtype === 'int32'
      ? { dtype, shape, data: new Int32Array(length) }
      : { dtype, shape, data: new Uint8Array(length) }
