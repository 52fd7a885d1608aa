import {
  abs,
  add,
  apply,
  div,
  matmul,
  maximum,
  mul,
  neg,
  rebuild,
  refreeze,
  reshape,
  rewrite,
  softmax,
  sqrt,
  sub,
  type Tensor,
  transpose,
} from '../../src/declare/index.ts'
import { inverse, permuted } from '../../src/execute/layout.ts'
import { type Call, type Calls, inOrder, isCall } from '../../src/execute/onnx/calls.ts'
import type { Staged } from '../../src/execute/stages.ts'
import type { Loop, Operand, Source, TailOp } from '../../src/execute/tail/split.ts'
import { feedName, type Graph, outputTypes } from '../../src/graph/graph.ts'
import { isOpKind } from '../../src/graph/ops.ts'
import { pipe, RR } from '../../src/prelude.ts'

/** What calls and stages mean, as the graph that they stand for: whatever is decided of how it is computed is left out. */

const at = (args: readonly Tensor[], i: number): Tensor => {
  const found = args[i]
  if (found === undefined) throw new Error(`a call without operand ${i}`)
  return found
}
const meaningOf = (c: Call, args: readonly Tensor[], leaf: (name: string) => Tensor): Tensor => {
  if (isCall('convert')(c)) return at(args, 0)
  if (isCall('baked')(c)) return leaf(c.attributes.name)
  if (isCall('relu')(c)) return maximum(0)(at(args, 0))
  if (isCall('attention')(c)) {
    const { scores, result, columns } = c.attributes
    const weights = pipe(at(args, 0), matmul(at(args, 1), scores), softmax(-1))
    return columns ? pipe(at(args, 2), matmul(weights, result)) : pipe(weights, matmul(at(args, 2), result))
  }
  if (isCall('conv2d')(c)) {
    const { rectified, ...window } = c.attributes
    const [bias] = args.slice(2)
    const y = apply('conv2d', window, args.slice(0, 2), c.scope)
    const shifted = bias === undefined ? y : pipe(y, add(reshape(...bias.shape, 1, 1)(bias)))
    return rectified === true ? maximum(0)(shifted) : shifted
  }
  if (!isOpKind(c.op)) throw new Error(`no meaning of ${c.op}`)
  return rebuild({ op: c.op, attributes: c.attributes, operands: [], type: c.type, scope: c.scope }, args)
}
/** The leaves of a graph, by name. */
const leavesOf = (g: Graph): ((name: string) => Tensor) => {
  const leaves = new Map(g.nodes.flatMap((n) => (feedName(n) === undefined ? [] : [[feedName(n), rebuild(n, [])]])))
  return (name) => {
    const found = leaves.get(name)
    if (found === undefined) throw new Error(`no leaf ${name}`)
    return found
  }
}
/** The graph that calls stand for, whose leaves are those of `g`. */
export const graphOfCalls = (calls: Calls, g: Graph): Graph => {
  const leaf = leavesOf(g)
  const made = new Map<Call, Tensor>()
  const of = (c: Call): Tensor => {
    const found = made.get(c)
    if (found === undefined) throw new Error(`${c.op} before it is made`)
    return found
  }
  for (const c of inOrder(calls)) made.set(c, meaningOf(c, c.operands.map(of), leaf))
  return refreeze(RR.map(of)(calls))
}

const arithmetic: { readonly [O in TailOp]: (a: Tensor, b: Tensor) => Tensor } = {
  neg: (a) => neg(a),
  abs: (a) => abs(a),
  sqrt: (a) => sqrt(a),
  add: (a, b) => pipe(a, add(b)),
  sub: (a, b) => pipe(a, sub(b)),
  mul: (a, b) => pipe(a, mul(b)),
  div: (a, b) => pipe(a, div(b)),
}
/** What loops compute of flat arrays, and the numbers that they give to later ones. */
const looped = (loop: Loop, source: (s: Source) => Tensor) => {
  const arrays = loop.arrays.map((s) => reshape(loop.length)(source(s)))
  const scalars = loop.scalars.map((s) => reshape()(source(s)))
  const steps: Tensor[] = []
  const read = (o: Operand): Tensor =>
    o.kind === 'constant'
      ? apply('constant', { type: { dtype: 'float32', shape: [] }, data: [o.value] }, [])
      : at(o.kind === 'array' ? arrays : o.kind === 'scalar' ? scalars : steps, o.index)
  for (const { op, operands } of loop.steps) {
    const [a, b] = operands.map(read)
    if (a !== undefined) steps.push(arithmetic[op](a, b ?? a))
  }
  const wide = (x: Tensor): Tensor =>
    x.shape.length === 0 && loop.length > 1 ? apply('broadcast', { shape: [loop.length] }, [x]) : x
  const results = (named: Loop['outputs']) => named.map(({ name, operand }) => [name, wide(read(operand))] as const)
  return { outputs: results(loop.outputs), gives: results(loop.gives) }
}
/** The graph that stages stand for. */
export const graphOfStages = ({ graph, stages, layouts }: Staged): Graph => {
  const own = leavesOf(graph)
  const leaf = (name: string): Tensor => {
    const order = layouts.leaves[name]
    return order === undefined ? own(name) : transpose(...order)(own(name))
  }
  const made: Record<string, Tensor> = {}
  const given: Record<string, Tensor> = {}
  const types = outputTypes(graph)
  for (const stage of stages) {
    if (stage.kind === 'graphs') {
      for (const part of stage.parts)
        Object.assign(
          made,
          rewrite(part, (n, _, again) => {
            const name = feedName(n)
            return name === undefined ? again() : leaf(name)
          }),
        )
      continue
    }
    const source = ({ from, name }: Source): Tensor =>
      from === 'leaf'
        ? leaf(name)
        : at(
            [from === 'body' ? made : given].flatMap((all) => all[name] ?? []),
            0,
          )
    for (const loop of stage.loops) {
      const { outputs, gives } = looped(loop, source)
      Object.assign(given, Object.fromEntries(gives))
      for (const [name, x] of outputs) {
        const [shape, order] = [types[name]?.shape ?? [], layouts.outputs[name]]
        made[name] =
          order === undefined
            ? reshape(...shape)(x)
            : pipe(x, reshape(...permuted(shape, order)), transpose(...inverse(order)))
      }
    }
  }
  return refreeze(
    Object.fromEntries(
      Object.keys(graph.outputs).map((name) => [
        name,
        at(
          [made[name]].flatMap((x) => x ?? []),
          0,
        ),
      ]),
    ),
  )
}
