import type { NodeOf } from '../../graph/graph.ts'
import type { OpKind } from '../../graph/ops.ts'
import type { DType } from '../../graph/types.ts'
import type { Kernel } from './kernel.ts'
import type { Rewriting, Roots, Value } from './value.ts'

/** What a backend can do that decides how ops are lowered. */
export interface Target {
  /** `tfjs:wasm` */
  readonly name: string
  readonly has: (kernel: Kernel) => boolean
  /** Whether sine, cosine and exponential are good to float32's last places. */
  readonly preciseFunctions: boolean
  readonly quirk: Rewriting
  /** How long sums are written. */
  readonly sums: Rewriting
  /** Whether gradients of convolutions take paddings by TensorFlow's words alone, or any. */
  readonly paddings: 'words' | 'explicit'
  readonly dtypes: readonly DType[]
  /** What is written of calls in half precision. */
  readonly halves: Rewriting
  /** Whether the arithmetic at a graph's end is done for many arrays at once: where a call costs more than most do. */
  readonly together: boolean
  /** What is written of a program last. */
  readonly lean: (roots: Roots) => Roots
  /** Up to which magnitude integers are exact: WebGPU's shaders compute int32 in float32. */
  readonly integers: number
}

/** A node whose operands are lowered. */
export interface Site<K extends OpKind> {
  readonly node: NodeOf<K>
  readonly operands: readonly Value[]
  readonly target: Target
}
export type Lowering<K extends OpKind> = (site: Site<K>) => Value
/** One row an op; a backend of TensorFlow.js needs nothing else from it. */
export type LoweringTable = { readonly [K in OpKind]: Lowering<K> }

/** The operand at `i`; arity is checked before anything is lowered. */
export const operand = <K extends OpKind>({ node, operands }: Site<K>, i: number): Value => {
  const found = operands[i]
  if (found === undefined) throw new Error(`${node.op} has no operand ${i}`)
  return found
}
