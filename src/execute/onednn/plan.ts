import type { Graph } from '../../graph/graph.ts'
import type { Misfit } from '../../graph/shape-rules.ts'
import type { DType, Shape } from '../../graph/types.ts'
import type { Either } from '../../prelude.ts'
import type { Handle } from './api.ts'
import type { HalfPrecisions } from './half.ts'
import type { Loop } from './loop.ts'
import type { Element, View } from './view.ts'

/** What every instruction says of itself: the node it is for, how it is done, what it reads and writes. */
interface Common {
  readonly node: number
  readonly algorithm: string
  readonly reads: readonly number[]
  readonly writes: readonly number[]
}
/** An array that a primitive is given: a buffer from a byte on, as a memory descriptor says. */
export interface Array {
  readonly buffer: number
  readonly offset: number
  readonly descriptor: Handle
}
export type Arguments = readonly (readonly [argument: number, array: Array])[]
export interface LoopInstruction extends Common {
  readonly kind: 'loop'
  readonly loop: Loop
}
/** A piece of a primitive's work, of some items or rows: pieces write apart, so that threads can do one each. */
export interface Piece {
  readonly descriptor: Handle
  readonly arguments: Arguments
}
/** What the algorithm of a product of tiles begins with: one of minimal filtering. */
export const minimal = 'minimal, '
export interface PrimitiveInstruction extends Common {
  readonly kind: 'primitive'
  readonly does: 'product' | 'reorder'
  /** Floating-point operations, as they are done. */
  readonly flops: number
  /** As what the numbers lie that are multiplied. */
  readonly element: Element
  readonly pieces: readonly Piece[]
}
/** Numbers as they lie in the arena. */
export type Numbers = Float32Array | Int32Array
/** Row-major arrays, read and written by JavaScript. */
export interface HostInstruction extends Common {
  readonly kind: 'host'
  readonly inputs: readonly { readonly view: View; readonly dtype: DType }[]
  readonly output: { readonly view: View; readonly dtype: DType }
  readonly compute: (inputs: readonly Numbers[], into: Numbers) => Either<Misfit, void>
}
export type Instruction = LoopInstruction | PrimitiveInstruction | HostInstruction

export interface Placed {
  readonly view: View
  readonly dtype: DType
  readonly shape: Shape
}
/** An output that becomes a leaf's new value by a copy, the instruction at `at` of those of each step. */
export interface Handover {
  readonly at: number
  readonly from: View
  readonly into: View
}
/** A graph as instructions over buffers; instructions that only fixed leaves decide run once. */
export interface Plan {
  /** What instructions name nodes of. */
  readonly graph: Graph
  readonly precisions: HalfPrecisions
  /** Bytes of each. */
  readonly buffers: readonly number[]
  readonly once: readonly Instruction[]
  readonly each: readonly Instruction[]
  readonly leaves: Readonly<Record<string, Placed>>
  /** Those that are given once. */
  readonly fixed: ReadonlySet<string>
  readonly carried: ReadonlySet<string>
  /** Arrays of the graph's constants. */
  readonly constants: readonly { readonly view: View; readonly data: readonly number[]; readonly dtype: DType }[]
  /** Outputs that are not carried, row-major. */
  readonly outputs: Readonly<Record<string, Placed>>
  readonly handovers: readonly Handover[]
}
