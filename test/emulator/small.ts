import { conv2d, freeze, input, mean, mul, parameter, silu } from '../../src/declare/index.ts'
import { onednn } from '../../src/execute/onednn/index.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { float } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'
import { grad, optimise } from '../../src/transform/index.ts'
import { difference, right, runOn } from '../arbitrary/run.ts'
import { feedsOf } from '../unit/onnx-support.ts'

/** A convolution's gradients on oneDNN against the reference; run with DNNL_VERBOSE=1 to see which kernels did it. */
const weight = parameter('', 'w', [32, 16, 3, 3], { kind: 'zeros' })
const x = input('x', float(2, 16, 8, 8))
const y = pipe(x, conv2d(weight, { stride: [1, 1], padding: [1, 1, 1, 1] }), silu)
const loss = pipe(y, mul(y), mean())
const [gw, gx] = grad(loss, [weight, x])
if (gw === undefined || gx === undefined) throw new Error('no gradients')
const graph = right(E.map(optimise)(freeze({ y, gw, gx })))
const feeds = feedsOf(graph)
const found = await runOn(onednn, { mode: 'training', threads: Number(process.env.LATENTGRAPH_THREADS ?? 1) })(
  graph,
  feeds,
)
console.log(difference(found, await runOn(reference)(graph, feeds), 2e-6) ?? 'as the reference')
