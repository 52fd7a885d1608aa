import { apply, cast, constant, isTensor, refreeze, rewrite, type Tensor } from '../declare/index.ts'
import { type Graph, isNode, nodeAt } from '../graph/graph.ts'
import { largestOf } from '../graph/half.ts'
import type { OpKind } from '../graph/ops.ts'
import { type Half, isFloat } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { share } from './share.ts'

/**
 * What an op is computed in: products in half precision, others in that of their operands or in float32. `sums` are float32 of operands in half precision:
 * gradients of convolutions, and products of which no other is made.
 */
type Policy = 'product' | 'sums' | 'follows' | 'wide'
const policies: { readonly [K in OpKind]: Policy } = {
  input: 'wide',
  parameter: 'wide',
  noise: 'wide',
  constant: 'wide',
  neg: 'follows',
  abs: 'follows',
  sign: 'follows',
  exp: 'wide',
  log: 'wide',
  sqrt: 'wide',
  tanh: 'follows',
  sigmoid: 'follows',
  erf: 'wide',
  sin: 'wide',
  cos: 'wide',
  floor: 'follows',
  silu: 'follows',
  cast: 'wide',
  stopGradient: 'follows',
  mark: 'follows',
  recompute: 'follows',
  barrier: 'follows',
  add: 'follows',
  sub: 'follows',
  mul: 'follows',
  div: 'wide',
  maximum: 'follows',
  minimum: 'follows',
  equal: 'wide',
  less: 'wide',
  select: 'follows',
  sum: 'wide',
  reduceMax: 'wide',
  argMax: 'wide',
  argMin: 'wide',
  softmax: 'wide',
  matmul: 'product',
  conv2d: 'product',
  convInputGrad: 'sums',
  convWeightGrad: 'sums',
  reshape: 'follows',
  transpose: 'follows',
  slice: 'follows',
  pad: 'follows',
  concat: 'follows',
  broadcast: 'follows',
  gather: 'follows',
  scatterAdd: 'wide',
  upsampleNearest: 'follows',
  maxPool: 'follows',
  groupNorm: 'wide',
  standardize: 'wide',
  groupRstd: 'wide',
}

/**
 * The nodes that stay wide for what they go into: the arithmetic of a loss or a statistic down to its sum, and distances down
 * to the product whose least is sought.
 */
const keptWide = (g: Graph): ReadonlySet<number> => {
  const kept = new Set<number>()
  const compared = new Set<number>()
  for (let i = g.nodes.length - 1; i >= 0; i--) {
    const { op, operands } = nodeAt(g, i)
    const compares = op === 'argMin' || op === 'argMax' || compared.has(i)
    if (op !== 'sum' && !compares && !(kept.has(i) && policies[op] === 'follows')) continue
    for (const o of operands) {
      const policy = policies[nodeAt(g, o).op]
      if (policy === 'follows' || (policy === 'product' && compares)) kept.add(o)
      if (policy === 'follows' && compares) compared.add(o)
    }
  }
  return kept
}

/** What products are made of. Behind the last of them is what a step hands on: gradients, moments, weights, averages. */
const leadingOn = ({ nodes }: Graph): ReadonlySet<number> => {
  const found = new Set<number>()
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]
    const policy = node === undefined ? 'wide' : policies[node.op]
    if (found.has(i) || policy === 'product' || policy === 'sums') for (const o of node?.operands ?? []) found.add(o)
  }
  return found
}
/** What a node is computed in, told what it leads to. */
const policyIn = (g: Graph): ((op: OpKind, index: number) => Policy) => {
  const [kept, leading] = [keptWide(g), leadingOn(g)]
  const behind = { product: 'sums', sums: 'sums', follows: 'wide', wide: 'wide' } as const
  return (op, i) => (kept.has(i) ? 'wide' : leading.has(i) ? policies[op] : behind[policies[op]])
}

const movement: readonly OpKind[] = ['reshape', 'transpose', 'broadcast', 'slice']
/** Weights and numbers: they take the precision of what they meet. */
const yields =
  (largest: number) =>
  (x: Tensor): boolean =>
    isTensor('constant')(x)
      ? x.attributes.data.every((d) => Math.abs(d) <= largest)
      : x.op === 'parameter' || (movement.includes(x.op) && x.args.every(yields(largest)))

/** Casts, each once, and none back and forth. */
const casts = (dtype: Half) => {
  const isHalf = (x: Tensor): boolean => x.type.dtype === dtype
  const known = new Map<Tensor, Tensor>()
  const once = (x: Tensor, make: () => Tensor): Tensor => {
    const found = known.get(x) ?? make()
    known.set(x, found)
    return found
  }
  const source = (x: Tensor): Tensor | undefined => (x.op === 'cast' ? x.args[0] : undefined)
  const half = (x: Tensor): Tensor => {
    if (x.type.dtype !== 'float32') return x
    const from = source(x)
    if (from !== undefined && isHalf(from)) return from
    return once(x, () => {
      if (isTensor('constant')(x)) return constant(x.attributes.data, { dtype, shape: x.shape })
      const [again] = x.args
      return x.op === 'recompute' && again !== undefined ? apply('recompute', {}, [half(again)]) : pipe(x, cast(dtype))
    })
  }
  const wide = (x: Tensor): Tensor => {
    if (!isHalf(x)) return x
    const from = source(x)
    return from?.type.dtype === 'float32' ? from : once(x, () => pipe(x, cast('float32')))
  }
  /** Rounded, and then in float32. */
  const rounded = (x: Tensor): Tensor => once(half(x), () => pipe(half(x), cast('float32')))
  return { isHalf, half, wide, rounded }
}

/**
 * Mixed precision (Micikevicius et al. 2018, "Mixed Precision Training"): products, convolutions and the activations between them in
 * `dtype`; normalisation, softmax, exponentials, quotients, every reduction and the arithmetic of a loss before it in float32. Gradients
 * of convolutions, and all products of which no other is made, are float32 of operands in `dtype`; what a step hands on, moments, weights
 * and averages, is made in float32. Inputs, parameters and outputs stay float32, so that feeds and checkpoints do not change.
 *
 * Apply it to what runs: gradients are taken before, in float32.
 *
 *     precision('bfloat16')(optimise(graph))
 */
export const precision =
  (dtype: Half) =>
  (g: Graph): Graph => {
    const policyOf = policyIn(g)
    const { isHalf, half, wide, rounded } = casts(dtype)
    const takes = yields(largestOf(dtype))
    const outputs = rewrite(g, (n, args, _, i) => {
      const [x] = args
      if (isNode('cast')(n) && x !== undefined) return pipe(x, cast(n.attributes.to))
      const policy = policyOf(n.op, i)
      const floats = args.filter((a) => isFloat(a.type.dtype))
      const follows = floats.some(isHalf) && floats.every((a) => isHalf(a) || takes(a))
      const taken = { product: half, sums: rounded, follows: follows ? half : wide, wide }[policy]
      return apply(n.op, n.attributes, args.map(taken), n.scope)
    })
    const asBefore = ([name, x]: readonly [string, Tensor]) => {
      const before = nodeAt(g, g.outputs[name] ?? -1).type.dtype
      return [name, before === 'float32' ? wide(x) : x] as const
    }
    return share(refreeze(Object.fromEntries(Object.entries(outputs).map(asBefore))))
  }
