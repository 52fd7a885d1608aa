import {
  add,
  conv2d,
  freeze,
  groupNorm,
  input,
  matmul,
  mean,
  mul,
  parameter,
  reshape,
  silu,
  softmax,
  type Tensor,
  type Window,
} from '../../src/declare/index.ts'
import type { Values } from '../../src/execute/executor.ts'
import { by, planned } from '../../src/execute/onednn/compile.ts'
import { type Costs, measured, piecesFor } from '../../src/execute/onednn/costs.ts'
import { halfPrecisions, saysHalves } from '../../src/execute/onednn/half.ts'
import { onednnBy } from '../../src/execute/onednn/index.ts'
import { library } from '../../src/execute/onednn/load.ts'
import { ownership } from '../../src/execute/onednn/ownership.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float, halves } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'
import { grad, optimise, precision, trainable } from '../../src/transform/index.ts'
import { right, runOn } from '../arbitrary/run.ts'
import { feedsOf } from '../unit/onnx-support.ts'

/**
 * Steps of small networks in half precision with the library's own products of it, against the reference: how far each is from float32,
 * and which implementations did it. Without matrix units they are made of float32 vectors, or of bfloat16's.
 */
const never = [{ narrow: Number.POSITIVE_INFINITY, wide: 1, tiles: 1 }]
const costs: Costs = {
  ...measured,
  half: { ...measured.half, stored: 'always' },
  worthCutting: { flops: 0, operations: 0 },
  minimal: { conv2d: never, convInputGrad: never, convWeightGrad: never },
}
const how = by(costs)
const threads = Number(process.env.LATENTGRAPH_THREADS ?? 1)

const same: Window = { stride: [1, 1], padding: [1, 1, 1, 1] }
const one: Window = { stride: [1, 1], padding: [0, 0, 0, 0] }
const networks = (): Readonly<Record<string, Tensor>> => {
  let weights = 0
  const weight = (...shape: readonly number[]): Tensor => parameter('', `w${weights++}`, shape, { kind: 'zeros' })
  const channels = (x: Tensor): number => x.shape[1] ?? 1
  const convolved =
    (o: number, side: number, window: Window) =>
    (x: Tensor): Tensor =>
      pipe(x, conv2d(weight(o, channels(x), side, side), window), add(pipe(weight(o), reshape(o, 1, 1))))
  const normed = (x: Tensor): Tensor =>
    pipe(x, groupNorm(weight(channels(x)), weight(channels(x)), { groups: 4, eps: 1e-2 }))
  const heads = reshape(2, 2, 16, 16)
  const first = pipe(input('x', float(2, 16, 8, 8)), convolved(32, 3, same))
  const residual = pipe(first, normed, silu, convolved(32, 3, same), add(first))
  const picture = input('x', float(2, 32, 4, 4))
  const [q, k, v] = [0, 1, 2].map(() => pipe(picture, convolved(32, 1, one), heads))
  if (q === undefined || k === undefined || v === undefined) throw new Error('three projections')
  const attended = pipe(q, matmul(k, { transposeA: true }), mul(0.25), softmax(3))
  return {
    blocks: pipe(residual, convolved(16, 3, { stride: [2, 2], padding: [1, 1, 1, 1] }), silu, convolved(16, 1, one)),
    'of 4 channels': pipe(input('x', float(2, 4, 8, 8)), convolved(64, 3, same), silu, convolved(4, 3, same)),
    attention: pipe(v, matmul(attended, { transposeB: true }), reshape(2, 32, 4, 4), convolved(32, 1, one)),
  }
}
const apart = (a: Values, b: Values): number => {
  let [error, norm] = [0, 0]
  for (const [name, { data }] of Object.entries(b))
    data.forEach((x, i) => {
      error += ((a[name]?.data[i] ?? Number.NaN) - x) ** 2
      norm += x * x
    })
  return Math.sqrt(error / norm)
}

const found = right(await library())
console.log(`oneDNN ${found.version}, ${found.isa.toString(16)}: ${saysHalves(halfPrecisions(found, measured))}`)
for (const [name, y] of Object.entries(networks()))
  for (const half of halves) {
    const loss = pipe(y, mul(y), mean())
    const gradients = grad(loss, trainable(loss))
    const graph = right(E.map(optimise)(freeze({ y, ...Object.fromEntries(gradients.map((g, i) => [`g${i}`, g])) })))
    const mixed = precision(half)(graph)
    const owner = ownership(found)
    const none: ReadonlySet<string> = new Set()
    const target = { mode: 'training', carry: {}, baked: none, fixed: none, pieces: piecesFor(threads) } as const
    const used = planned(mixed, found, owner, target, how).each.flatMap((i) =>
      i.kind === 'primitive' ? [`${i.does} of ${i.element}: ${i.algorithm}`] : [],
    )
    owner.release()
    const feeds = feedsOf(graph)
    const [exact, rounded] = [await runOn(reference)(graph, feeds), await runOn(reference)(mixed, feeds)]
    const ours = await runOn(
      onednnBy(() => how),
      { mode: 'training', threads },
    )(mixed, feeds)
    const [error, allowed] = [apart(ours, exact), 1.3 * apart(rounded, exact)]
    console.log(`${name} in ${half}: ${error.toExponential(2)} from float32, at most ${allowed.toExponential(2)}`)
    for (const what of new Set(used)) console.log(`  ${used.filter((u) => u === what).length} ${what}`)
    if (!(error <= allowed)) process.exitCode = 1
  }
