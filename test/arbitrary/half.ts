import type { Tensor } from '../../src/declare/index.ts'
import * as D from '../../src/declare/index.ts'
import type { Value } from '../../src/execute/executor.ts'
import type { Graph, Node } from '../../src/graph/graph.ts'
import type { OpKind } from '../../src/graph/ops.ts'
import { isHalf } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'

/** Of rounding the unit, and what numbers below the normal ones can lose besides. */
export const formats = {
  float16: { unit: 2 ** -11, underflow: 1e-5, largest: 6e4 },
  bfloat16: { unit: 2 ** -8, underflow: 1e-37, largest: 1e37 },
} as const

/** Ops whose results grow and err no faster than sums and products of their operands' magnitudes. */
export const tame = [
  ...(['neg', 'abs', 'tanh', 'sigmoid', 'silu', 'add', 'sub', 'mul', 'maximum', 'minimum', 'sum', 'matmul'] as const),
  ...(['conv2d', 'reshape', 'transpose', 'slice', 'pad', 'concat', 'broadcast', 'upsampleNearest', 'maxPool'] as const),
] satisfies readonly OpKind[]

/** What of magnitudes bounds the magnitude of a result, and of an error times it: |a - b| by |a| + |b|, and so on. */
const magnitude = (n: Node, args: readonly Tensor[]): Tensor => {
  const [a, b] = args
  if (n.type.dtype !== 'float32' || a === undefined) {
    const x = D.rebuild(n, args)
    return D.isTensor('constant')(x) && n.type.dtype === 'float32'
      ? D.constant(x.attributes.data.map(Math.abs), x.type)
      : x
  }
  if (n.op === 'neg' || n.op === 'abs' || n.op === 'tanh') return a
  if (n.op === 'sigmoid') return pipe(a, D.add(1))
  if (n.op === 'silu') return pipe(a, D.mul(1.1))
  if (b !== undefined && n.op === 'sub') return pipe(a, D.add(b))
  if (b !== undefined && n.op === 'minimum') return pipe(a, D.maximum(b))
  return D.apply(n.op, n.attributes, args, n.scope)
}
export const magnitudes = (g: Graph): Graph => D.refreeze(D.rewrite(g, magnitude))
export const absolute = (v: Value): Value => (v.dtype === 'float32' ? { ...v, data: v.data.map(Math.abs) } : v)

/** Roundings that can meet in a result: of a product the sum of its factors'. */
export const roundings = ({ nodes, outputs }: Graph): Readonly<Record<string, number>> => {
  const products: readonly OpKind[] = ['mul', 'matmul', 'conv2d']
  const found: number[] = []
  for (const { op, operands, type } of nodes) {
    const before = operands.map((o) => found[o] ?? 0)
    const met = products.includes(op) ? before.reduce((s, d) => s + d, 0) : Math.max(0, ...before)
    found.push(met + (isHalf(type.dtype) ? 1 : 0))
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, i]) => [name, found[i] ?? 0]))
}
