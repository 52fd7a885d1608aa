import { apply, cast, constant, isTensor, refreeze, rewrite, type Tensor } from '../declare/index.ts'
import { type Graph, isNode, nodeAt } from '../graph/graph.ts'
import type { OpKind } from '../graph/ops.ts'
import { isFloat } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { share } from './share.ts'

/** What an op is computed in: half precision, that of its operands, or float32. */
type Policy = 'half' | 'follows' | 'wide'
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
  silu: 'half',
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
  matmul: 'half',
  conv2d: 'half',
  convInputGrad: 'wide',
  convWeightGrad: 'wide',
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
      if (policy === 'follows' || (policy === 'half' && compares)) kept.add(o)
      if (policy === 'follows' && compares) compared.add(o)
    }
  }
  return kept
}

const movement: readonly OpKind[] = ['reshape', 'transpose', 'broadcast', 'slice']
const largest = 65504
/** Weights and numbers: they take the precision of what they meet. */
const yields = (x: Tensor): boolean =>
  isTensor('constant')(x)
    ? x.attributes.data.every((d) => Math.abs(d) <= largest)
    : x.op === 'parameter' || (movement.includes(x.op) && x.args.every(yields))
const isHalf = (x: Tensor): boolean => x.type.dtype === 'float16'

/** Casts, each once, and none back and forth. */
const casts = () => {
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
    return once(x, () =>
      isTensor('constant')(x)
        ? constant(x.attributes.data, { dtype: 'float16', shape: x.shape })
        : pipe(x, cast('float16')),
    )
  }
  const wide = (x: Tensor): Tensor => {
    if (!isHalf(x)) return x
    const from = source(x)
    return from?.type.dtype === 'float32' ? from : once(x, () => pipe(x, cast('float32')))
  }
  return { half, wide }
}

/**
 * Mixed precision (Micikevicius et al. 2018, "Mixed Precision Training"): products, convolutions and the activations
 * between them in float16; normalisation, softmax, exponentials, quotients, every reduction and the arithmetic of a
 * loss before it in float32. Inputs, parameters and outputs stay float32, so that feeds and checkpoints do not change.
 *
 * Apply it to what runs: gradients are taken before, in float32.
 */
export const precision = (g: Graph): Graph => {
  const kept = keptWide(g)
  const { half, wide } = casts()
  const outputs = rewrite(g, (n, args, i) => {
    const [x] = args
    if (isNode('cast')(n) && x !== undefined) return pipe(x, cast(n.attributes.to))
    const policy = kept.has(i) ? 'wide' : policies[n.op]
    const floats = args.filter((a) => isFloat(a.type.dtype))
    const follows = floats.some(isHalf) && floats.every((a) => isHalf(a) || yields(a))
    const chosen = policy === 'half' || (policy === 'follows' && follows) ? half : wide
    return apply(n.op, n.attributes, args.map(chosen), n.scope)
  })
  const asBefore = ([name, x]: readonly [string, Tensor]) => {
    const before = nodeAt(g, g.outputs[name] ?? -1).type.dtype
    return [name, before === 'float32' ? wide(x) : x] as const
  }
  return share(refreeze(Object.fromEntries(Object.entries(outputs).map(asBefore))))
}
