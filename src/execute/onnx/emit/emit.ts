import type { Call, CallKind } from '../calls.ts'
import { operand } from '../calls.ts'
import { type Kernels, kernels } from '../devices.ts'
import type { Target } from '../target.ts'
import type { Value } from '../value.ts'

/** A call, and what its operands are. */
export interface Site<K extends CallKind> {
  readonly call: Call<K>
  readonly values: readonly Value[]
  readonly target: Target
}
/** Writes a call down in ONNX: everything is decided before. */
export type Emit<K extends CallKind> = (site: Site<K>) => Value
export type EmitTable = { readonly [K in CallKind]: Emit<K> }

/** What the device that a site is written for has. */
export const kernelsOf = <K extends CallKind>({ target }: Site<K>): Kernels => kernels[target.device]
export const valueAt = <K extends CallKind>({ call, values }: Site<K>, i: number): Value => {
  const found = values[i]
  if (found === undefined) throw new Error(`${call.op} has no operand ${i}`)
  return found
}
export const operandShape = <K extends CallKind>({ call }: Site<K>, i: number): readonly number[] =>
  operand(call, i).type.shape

/** The last node of a value is one of its own where its call is computed anew. */
export const asOften = ({ anew }: Pick<Call, 'anew'>, value: Value): Value =>
  anew === true && value.kind === 'result' ? { ...value, node: { ...value.node, anew } } : value
