import { apply, constant, isTensor, refreeze, reshape, rewrite, type Tensor, transpose } from '../declare/index.ts'
import type { Graph, Node } from '../graph/graph.ts'
import { isNode } from '../graph/graph.ts'
import { broadcastingOps, type OpKind } from '../graph/ops.ts'
import { sameShape, sameType } from '../graph/types.ts'
import { pipe } from '../prelude.ts'

/** Arithmetic on numbers, for constants that are one number everywhere. */
const arithmetic = {
  neg: (x: number) => -x,
  abs: Math.abs,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  add: (x: number, y: number) => x + y,
  sub: (x: number, y: number) => x - y,
  mul: (x: number, y: number) => x * y,
  div: (x: number, y: number) => x / y,
  maximum: (x: number, y: number) => Math.max(x, y),
  minimum: (x: number, y: number) => Math.min(x, y),
} as const
const isArithmetic = (op: OpKind): op is keyof typeof arithmetic => Object.hasOwn(arithmetic, op)

const movement: ReadonlySet<OpKind> = new Set(['reshape', 'transpose', 'slice', 'broadcast', 'upsampleNearest'])

/** The one number a float constant holds everywhere. */
const uniform = (x: Tensor | undefined): number | undefined =>
  x !== undefined && isTensor('constant')(x) && x.type.dtype === 'float32' && x.attributes.data.length === 1
    ? x.attributes.data[0]
    : undefined

/** A constant that is zero everywhere, held as one number. */
export const isZero = (x: Tensor): boolean =>
  'data' in x.attributes && x.attributes.data.length === 1 && x.attributes.data[0] === 0

const foldConstants = (x: Tensor): Tensor => {
  if (x.args.length === 0 || x.type.dtype !== 'float32') return x
  if (x.args.some((a) => uniform(a) === undefined)) return x
  const known = x.args.flatMap((a) => uniform(a) ?? [])
  if (movement.has(x.op)) return constant(known, x.type)
  if (!isArithmetic(x.op)) return x
  const [a, b] = known
  const value = arithmetic[x.op](a ?? 0, b ?? 0)
  return Number.isFinite(value) ? constant([value], x.type) : x
}

/** x + 0, x - 0, x * 1, x / 1, where the result has the shape of x. */
const neutral: {
  readonly [K in OpKind & ('add' | 'sub' | 'mul' | 'div')]: {
    readonly element: number
    readonly sides: readonly number[]
  }
} = {
  add: { element: 0, sides: [0, 1] },
  sub: { element: 0, sides: [1] },
  mul: { element: 1, sides: [0, 1] },
  div: { element: 1, sides: [1] },
}
const hasNeutral = (op: OpKind): op is keyof typeof neutral => Object.hasOwn(neutral, op)
const dropNeutral = (x: Tensor): Tensor => {
  if (!hasNeutral(x.op)) return x
  const { element, sides } = neutral[x.op]
  const side = sides.find((s) => uniform(x.args[s]) === element)
  const other = side === undefined ? undefined : x.args[1 - side]
  return other !== undefined && sameType(other.type, x.type) ? other : x
}

/** (x * a) * b = x * (a b), for numbers a and b. */
const mergeFactors = (x: Tensor): Tensor => {
  const [inner, outer] = x.args
  const b = uniform(outer)
  if (x.op !== 'mul' || inner?.op !== 'mul' || b === undefined) return x
  const [y, factor] = inner.args
  const a = uniform(factor)
  return a === undefined || y === undefined || !sameType(y.type, x.type) || !Number.isFinite(a * b)
    ? x
    : apply('mul', {}, [y, constant([a * b], { dtype: 'float32', shape: [] })], x.scope)
}

/** Movement that moves nothing, and movement of movement. */
const straighten = (x: Tensor): Tensor => {
  const [inner] = x.args
  if (inner === undefined) return x
  const [source] = inner.args
  if (isTensor('reshape')(x)) {
    if (sameShape(inner.shape, x.shape)) return inner
    return isTensor('reshape')(inner) && source !== undefined ? straighten(pipe(source, reshape(...x.shape))) : x
  }
  if (isTensor('broadcast')(x) && sameShape(inner.shape, x.shape)) return inner
  if (isTensor('transpose')(x)) {
    const { permutation } = x.attributes
    if (permutation.every((p, i) => p === i)) return inner
    return isTensor('transpose')(inner) && source !== undefined
      ? straighten(pipe(source, transpose(...permutation.map((p) => inner.attributes.permutation[p] ?? p))))
      : x
  }
  if (isTensor('sum')(x) && x.attributes.axes.length === 0) return inner
  if (x.op === 'neg' && inner.op === 'neg' && source !== undefined) return source
  return x
}

/** Elementwise ops broadcast by themselves: they need no operand broadcast for them. */
const dropBroadcasts = (x: Tensor): Tensor => {
  if (!broadcastingOps.has(x.op) || !x.args.some((a) => a.op === 'broadcast')) return x
  const bare = x.args.map((a) => (a.op === 'broadcast' ? (a.args[0] ?? a) : a))
  for (const args of [bare, ...x.args.map((_, i) => x.args.map((a, j) => (i === j ? (bare[j] ?? a) : a)))]) {
    const y = apply(x.op, x.attributes, args, x.scope)
    if (y.fault === undefined && sameType(y.type, x.type)) return y
  }
  return x
}

const rules = [foldConstants, dropNeutral, mergeFactors, straighten, dropBroadcasts] as const

/** A cut scalar stays cut: the unit that `pullScalars` pulls, whatever constants it is made with. It costs nothing. */
const transparent = (n: Node): boolean => isNode('mark')(n) || (isNode('stopGradient')(n) && n.type.shape.length > 0)

/**
 * Constant folding and the identities of movement and arithmetic. It also drops what has served its purpose once
 * gradients are taken (`stopGradient` of arrays, `mark`): fold after differentiating.
 */
export const fold = (g: Graph): Graph =>
  refreeze(
    rewrite(g, (n, [inner], again) =>
      transparent(n) && inner !== undefined ? inner : rules.reduce((x, rule) => rule(x), again()),
    ),
  )
