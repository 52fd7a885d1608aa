import type { TensorOf } from '../declare/index.ts'
import { add, faulty, leafName, reshape, scalar, type Tensor, topological, zerosLike } from '../declare/index.ts'
import type { OpKind } from '../graph/ops.ts'
import { isFloat, showType, size } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { type Cotangent, gradientRules } from './gradient-rules.ts'

/** Two leaves of one name are one variable, though they be two objects. */
const variable = (x: Tensor): Tensor | string => leafName(x) ?? x

const cotangents = <K extends OpKind>(op: K, x: TensorOf<K>, dy: Tensor): readonly Cotangent[] =>
  gradientRules[op]({ attributes: x.attributes, args: x.args, out: x, dy })

/**
 * Reverse mode as expressions: the cotangents of `wrt` when the `outputs` have the given cotangents. One sweep
 * from the outputs to the leaves; only what depends on `wrt` is walked. The result can be differentiated again.
 */
export const vjp = (
  outputs: readonly (readonly [output: Tensor, cotangent: Tensor])[],
  wrt: readonly Tensor[],
): readonly Tensor[] => {
  const order = topological(outputs.map(([y]) => y))
  const wanted = new Set(wrt.map(variable))
  const reaches = new Set<Tensor>()
  for (const x of order)
    if (
      isFloat(x.type.dtype) &&
      (wanted.has(variable(x)) || (x.op !== 'stopGradient' && x.args.some((a) => reaches.has(a))))
    )
      reaches.add(x)

  const found = new Map<Tensor | string, Tensor>()
  const accumulate = (x: Tensor, dx: Tensor): void => {
    const sofar = found.get(variable(x))
    found.set(variable(x), sofar === undefined ? dx : pipe(sofar, add(dx)))
  }
  for (const [y, dy] of outputs) if (reaches.has(y)) accumulate(y, dy)
  for (const x of order.toReversed()) {
    const dy = found.get(variable(x))
    if (dy === undefined || !reaches.has(x) || x.args.length === 0) continue
    cotangents(x.op, x, dy).forEach((cotangent, i) => {
      const arg = x.args[i]
      if (arg !== undefined && cotangent !== null && reaches.has(arg)) accumulate(arg, cotangent())
    })
  }
  return wrt.map((w) => found.get(variable(w)) ?? zerosLike(w))
}

/**
 * The gradient of a scalar: expressions of the shapes of `wrt`. A parameter that the loss does not reach has
 * gradient zero (`lint` says so). A loss that is not a scalar of
 * floats is a shape fault, and so are integers among `wrt`.
 *
 * @example
 * const x = input('x', float(3))
 * const [dx] = grad(pipe(x, mul(x), sum()), [x]) // 2x
 */
export const grad = (loss: Tensor, wrt: readonly Tensor[]): readonly Tensor[] => {
  if (loss.fault !== undefined) return wrt.map(() => loss)
  const at = (x: Tensor): string => `${leafName(x) ?? (x.scope === '' ? '(root)' : x.scope)} (grad)`
  if (size(loss.shape) !== 1 || !isFloat(loss.type.dtype)) {
    const hint = isFloat(loss.type.dtype) ? 'sum or mean it first: pipe(loss, mean())' : undefined
    const whole = faulty(at(loss), 'a scalar loss of floats', showType(loss.type), hint)
    return wrt.map(() => whole)
  }
  return vjp([[pipe(loss, reshape()), scalar(1)]], wrt).map((dx, i) => {
    const x = wrt[i] ?? dx
    return isFloat(x.type.dtype) ? dx : faulty(at(x), 'floats to differentiate with respect to', showType(x.type))
  })
}

/** The trainable parameters an expression is made of, each once, in order of first use. */
export const trainable = (...roots: readonly Tensor[]): readonly Tensor[] => {
  const byName = new Map<string, Tensor>()
  for (const x of topological(roots))
    if (isTrainable(x)) byName.set(leafName(x) ?? '', byName.get(leafName(x) ?? '') ?? x)
  return [...byName.values()]
}
const isTrainable = (x: Tensor): boolean =>
  x.op === 'parameter' && 'trainable' in x.attributes && x.attributes.trainable
