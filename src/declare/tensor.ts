import { failure, type LatentError } from '../error.ts'
import type { Attributes, OpKind } from '../graph/ops.ts'
import { inferType } from '../graph/shape-rules.ts'
import { float, type Shape, type TensorType } from '../graph/types.ts'
import { E } from '../prelude.ts'
import type { Place } from './place.ts'

/**
 * An immutable expression: an op, its arguments, its type. Nothing runs while one is built. Where the arguments
 * do not fit, the expression remembers the fault instead of throwing; `freeze` returns every fault at once.
 */
export interface TensorOf<K extends OpKind> {
  readonly op: K
  readonly attributes: Attributes[K]
  readonly args: readonly Tensor[]
  /** Meaningless where there is a fault. */
  readonly type: TensorType
  readonly shape: Shape
  readonly scope: Scope
  /** `inherited` where only an argument is at fault. */
  readonly fault: LatentError | 'inherited' | undefined
  /** Of a parameter that a program declared. */
  readonly place?: Place
}
/** An immutable expression: an op, its attributes, its arguments, its type. Nothing is computed by making one. */
export type Tensor = TensorOf<OpKind>
/** Whether an expression is of an op. */
export const isTensor =
  <K extends OpKind>(op: K) =>
  (x: Tensor): x is TensorOf<K> =>
    x.op === op

/** A prefix of parameter names: `decoder.up.1.block.0`; the empty string is the root. */
export type Scope = string
/** The scope of a part: `at('down', 0)` is `down.0`. */
export const at = (scope: Scope, name: string | number): Scope => (scope === '' ? String(name) : `${scope}.${name}`)

/** An op belongs where its last scoped argument belongs: a layer's weight says where the layer stands. */
const inheritedScope = (args: readonly Tensor[]): Scope => args.findLast((a) => a.scope !== '')?.scope ?? ''

/** The one constructor of expressions; `constructors.ts` gives it a name for each op. */
export const apply = <K extends OpKind>(
  op: K,
  attributes: Attributes[K],
  args: readonly Tensor[],
  scope: Scope = inheritedScope(args),
): TensorOf<K> => {
  if (args.some((a) => a.fault !== undefined))
    return { op, attributes, args, type: float(), shape: [], scope, fault: 'inherited' }
  const inferred = inferType(
    op,
    attributes,
    args.map((a) => a.type),
  )
  if (E.isRight(inferred)) {
    const type = inferred.right
    return { op, attributes, args, type, shape: type.shape, scope, fault: undefined }
  }
  const { expected, got, hint } = inferred.left
  const fault = failure('shape', `${scope === '' ? '(root)' : scope} (${op})`, expected, got, hint)
  return { op, attributes, args, type: float(), shape: [], scope, fault }
}

/** An expression at fault from the start, in what no op can see; `freeze` reports it. */
export const faulty = (at: Scope, expected: string, got: string, hint?: string): Tensor => ({
  op: 'constant',
  attributes: { type: float(), data: [0] },
  args: [],
  type: float(),
  shape: [],
  scope: at,
  fault: failure('shape', at === '' ? '(root)' : at, expected, got, hint),
})
