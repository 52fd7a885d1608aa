import { apply, leafName, mul, refreeze, rewrite, scalar, type Tensor } from '../declare/index.ts'
import { exactText, type Graph, isNode, type Node } from '../graph/graph.ts'
import type { OpKind } from '../graph/ops.ts'
import { pipe } from '../prelude.ts'
import { isZero } from './fold.ts'

/** What makes two nodes the same: op, attributes, operands. */
const signature = (n: Node, operands: readonly number[]): string =>
  `${n.op}${isNode('constant')(n) ? exactText(n.attributes) : JSON.stringify(n.attributes)}${operands}`

/** Common subexpressions once: equal ops on equal operands become one node. */
export const share = (g: Graph): Graph => {
  const canonical: number[] = []
  const firstOf = new Map<string, number>()
  g.nodes.forEach((n, i) => {
    const key = signature(
      n,
      n.operands.map((o) => canonical[o] ?? o),
    )
    const first = firstOf.get(key) ?? i
    firstOf.set(key, first)
    canonical.push(first)
  })
  if (canonical.every((first, i) => first === i)) return g
  const built = new Map<number, Tensor>()
  return refreeze(
    rewrite(g, (_, __, again, i) => {
      const x = built.get(canonical[i] ?? i) ?? again()
      built.set(i, x)
      return x
    }),
  )
}

/**
 * The operands in which an op is linear, each on its own: f(.., s x, ..) = s f(.., x, ..). `together` where all
 * operands must carry the same factor. This is what lets a scalar leave a cotangent.
 */
type Linearity = readonly number[] | 'together'
const linearity: { readonly [K in OpKind]: Linearity } = {
  input: [],
  parameter: [],
  noise: [],
  constant: [],
  neg: [0],
  abs: [],
  sign: [],
  exp: [],
  log: [],
  sqrt: [],
  tanh: [],
  sigmoid: [],
  erf: [],
  sin: [],
  cos: [],
  floor: [],
  silu: [],
  cast: [],
  stopGradient: [],
  mark: [],
  recompute: [0],
  barrier: [0],
  add: 'together',
  sub: 'together',
  mul: [0, 1],
  div: [0],
  maximum: [],
  minimum: [],
  equal: [],
  less: [],
  select: [],
  sum: [0],
  reduceMax: [],
  argMax: [],
  argMin: [],
  softmax: [],
  matmul: [0, 1],
  conv2d: [0, 1],
  convInputGrad: [0, 1],
  convWeightGrad: [0, 1],
  reshape: [0],
  transpose: [0],
  slice: [0],
  pad: [0],
  concat: 'together',
  broadcast: [0],
  gather: [0],
  scatterAdd: [1],
  upsampleNearest: [0],
  maxPool: [],
  groupNorm: [],
  standardize: [],
  groupRstd: [],
}

/** A computed scalar times a tensor. Constants stay where they are: moving them would only add work. */
interface Scaled {
  readonly factor: Tensor
  readonly of: Tensor
}
/** Of rank 0, so that it multiplies a tensor of any rank. */
const isScalar = (x: Tensor): boolean => x.shape.length === 0
/** A scalar that only a run knows. */
const isComputed = (x: Tensor): boolean => isScalar(x) && x.op !== 'constant' && x.type.dtype === 'float32'

/**
 * Pulls computed scalars out of linear ops: conv(s x) becomes s conv(x), until the factor meets a sum with an
 * unscaled term. Cotangents are linear, so after this a walk backward from `lambda g` shares every node with the
 * walk backward from `g`: an adversarial step differentiates each network once (DESIGN section 5). A leaf of `staying`, and what is
 * computed of it, stays where it is: so does a scale that keeps cotangents within half precision.
 */
export const pullScalars = (g: Graph, staying: readonly string[] = []): Graph => {
  const scaled = new Map<Tensor, Scaled>()
  const stay = new Set<Tensor>()
  const isPulled = (x: Tensor): boolean => isComputed(x) && !stay.has(x)
  const remember = (factor: Tensor, of: Tensor): Tensor => {
    const x = pipe(of, mul(factor))
    scaled.set(x, { factor, of })
    return x
  }
  const again = (n: Node, args: readonly Tensor[]): Tensor => apply(n.op, n.attributes, args, n.scope)
  /** A computed scalar is itself, times 1. */
  const partsOf = (x: Tensor | undefined): Scaled | undefined =>
    x === undefined ? undefined : (scaled.get(x) ?? (isPulled(x) ? { factor: x, of: scalar(1) } : undefined))

  const pull = (n: Node, args: readonly Tensor[]): Tensor => {
    const linear = n.op === 'div' && n.type.dtype !== 'float32' ? [] : linearity[n.op]
    if (n.op === 'select') return pullSelect(n, args)
    if (linear === 'together') {
      const parts = args.map((a) => scaled.get(a))
      const factor = parts[0]?.factor
      return factor !== undefined && parts.every((p) => p?.factor === factor)
        ? remember(
            factor,
            again(
              n,
              parts.flatMap((p) => (p === undefined ? [] : [p.of])),
            ),
          )
        : again(n, args)
    }
    if (n.type.shape.length === 0) return scalarOf(n, args)
    const where = linear.find((i) => partsOf(args[i]) !== undefined)
    const inner = where === undefined ? undefined : partsOf(args[where])
    if (where !== undefined && inner !== undefined)
      return remember(
        inner.factor,
        again(
          n,
          args.map((a, i) => (i === where ? inner.of : a)),
        ),
      )
    return again(n, args)
  }
  /** Of a computed scalar and constants the constants are told apart: they are part of what a cotangent is without the scalar. */
  const scalarOf = (n: Node, args: readonly Tensor[]): Tensor => {
    const whole = again(n, args)
    const where = args.findIndex(isPulled)
    const inner = partsOf(args[where])
    const alone = args.every((a, i) => i === where || a.op === 'constant')
    if (inner !== undefined && alone && (n.op === 'neg' || n.op === 'mul' || (n.op === 'div' && where === 0)))
      scaled.set(whole, {
        factor: inner.factor,
        of: again(
          n,
          args.map((a, i) => (i === where ? inner.of : a)),
        ),
      })
    return whole
  }
  /** select(c, s x, 0) = s select(c, x, 0) */
  const pullSelect = (n: Node, args: readonly Tensor[]): Tensor => {
    const [condition, a, b] = args
    if (condition === undefined || a === undefined || b === undefined) return again(n, args)
    const [pa, pb] = [scaled.get(a), scaled.get(b)]
    if (pa !== undefined && isZero(b)) return remember(pa.factor, again(n, [condition, pa.of, b]))
    if (pb !== undefined && isZero(a)) return remember(pb.factor, again(n, [condition, a, pb.of]))
    return again(n, args)
  }
  return refreeze(
    rewrite(g, (n, args) => {
      const x = pull(n, args)
      if (staying.includes(leafName(x) ?? '') || (isScalar(x) && args.some((a) => stay.has(a)))) stay.add(x)
      return x
    }),
  )
}
