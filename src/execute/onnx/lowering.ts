import type { NodeOf } from '../../graph/graph.ts'
import type { OpKind } from '../../graph/ops.ts'
import type { Shape } from '../../graph/types.ts'
import type { CompileOptions } from '../executor.ts'
import type { Costs } from './costs.ts'
import { type Device, type Kernels, kernels } from './devices.ts'
import type { Value } from './value.ts'

export interface Target {
  readonly device: Device
  readonly mode: CompileOptions['mode']
  /** Channels a block of the processor's blocked convolutions; null where there are none, or the runtime blocks. */
  readonly block: number | null
  readonly costs: Costs
}

/** A node beside the ONNX value that computes it. `stopGradient`, `mark` and what is not worth recomputing are seen through. */
export interface Lowered<K extends OpKind = OpKind> {
  readonly node: NodeOf<K>
  readonly operands: readonly Lowered[]
  readonly value: Value
  /** How many nodes and outputs read it. */
  readonly uses: number
}
/** A node whose operands are lowered. */
export interface Site<K extends OpKind> {
  readonly node: NodeOf<K>
  readonly operands: readonly Lowered[]
  readonly target: Target
}
export type Lowering<K extends OpKind> = (site: Site<K>) => Value
export type LoweringTable = { readonly [K in OpKind]: Lowering<K> }

/** What the device that a site is lowered for has. */
export const kernelsOf = <K extends OpKind>({ target }: Site<K>): Kernels => kernels[target.device]
/** The operand at `i`; arity is checked before anything is lowered. */
export const operand = <K extends OpKind>({ node, operands }: Site<K>, i: number): Lowered => {
  const found = operands[i]
  if (found === undefined) throw new Error(`${node.op} has no operand ${i}`)
  return found
}
export const valueAt = <K extends OpKind>(site: Site<K>, i: number): Value => operand(site, i).value
export const shapeOf = (x: Lowered): Shape => x.node.type.shape
export const isLowered =
  <K extends OpKind>(op: K) =>
  (x: Lowered): x is Lowered<K> =>
    x.node.op === op
