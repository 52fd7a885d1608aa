import type { Attributes, OpKind } from '../../graph/ops.ts'
import type { TensorType } from '../../graph/types.ts'
import type { Draft } from './draft.ts'
import type { Expression } from './expression.ts'

/** A node's result: arithmetic whose loads all have its shape. */
export interface Operand {
  readonly type: TensorType
  readonly value: Expression
}
/** Of an op of fewer operands the last stands for those that it does not have. */
export type Operands = readonly [Operand, Operand, Operand]

/** What was decided of a node; what is added is no sum yet. */
export interface How {
  readonly isMinimal: boolean
  readonly addends: readonly Operand[]
}

/** How an op comes to be: what has to be computed for it is drafted, what it is then is returned. */
export type Lowering<K extends OpKind> = (
  attributes: Attributes[K],
  operands: Operands,
  type: TensorType,
  draft: Draft,
  /** As many as the node has. */
  all: readonly Operand[],
  how: How,
) => Expression
export type Lowerings<K extends OpKind> = { readonly [P in K]: Lowering<P> }
