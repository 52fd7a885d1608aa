import { expect, test } from 'vitest'

import { cast, logSoftmax, mul, oneHot, type Tensor, vector } from '../../src/declare/index.ts'
import { denoiser, guideByClassifier } from '../../src/diffusion/denoiser.ts'
import { floats, type Values } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { parameters } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { encoderUNet, encoderUNetConfig } from '../../src/nn/index.ts'
import { pipe } from '../../src/prelude.ts'
import {
  chain,
  ddim,
  initialNoise,
  keyedNoise,
  planSampling,
  sample,
  stepGraph,
  stepMixture,
} from '../../src/samplers/index.ts'
import { levelsOf } from '../../src/schedulers/levels.ts'
import { flowPath } from '../../src/schedulers/path.ts'
import { decode } from '../../src/schema.ts'
import { right } from '../arbitrary/run.ts'

const config = right(
  decode(encoderUNetConfig)({
    inChannels: 1,
    outChannels: 2,
    modelChannels: 32,
    resBlocks: 1,
    channelMultipliers: [1, 2],
    attentionFactors: [],
    heads: { by: 'count', count: 1 },
  }),
)
const shape = [2, 1, 8, 8]

/** How sure the classifier is of class 1 in the end, guided towards it by so much. */
const drawn = async (scale: number): Promise<readonly number[]> => {
  const logits = encoderUNet('classifier', config)
  const logProbability = (x: Tensor, t: Tensor): Tensor =>
    pipe(logits(x, t), logSoftmax(1), mul(pipe(vector([1, 1]), cast('int32'), oneHot(2))))
  const plain = denoiser('x0', (x) => pipe(x, mul(0.5)))
  const guided = guideByClassifier(scale, logProbability, stepMixture())(plain)
  const path = flowPath()
  const levels = right(levelsOf(path, { kind: 'trailing', steps: 4 }))
  const plan = right(planSampling(ddim(), path, chain(levels.slice(1))))
  const graph = right(stepGraph(plan, guided, { shape }))
  const constants: Values = Object.fromEntries(
    parameters(graph).map(({ name, shape: s }) => [
      name,
      floats(
        s,
        Float64Array.from({ length: size(s) }, (_, i) => 0.2 * Math.sin(1 + 12.9898 * i + name.length)),
      ),
    ]),
  )
  const executable = right(await onnx('cpu').compile(graph, { mode: 'sampling', constants })())
  const run = { plan, graph, executable, from: initialNoise(1, [0, 1], [1, 8, 8]), noiseOf: keyedNoise(1, [0, 1]) }
  return Array.from(right(await sample(run)()).x.data)
}

test('a classifier of the kind of the encoder U-Net leads away from where there is none', async () => {
  const [none, some] = [await drawn(0), await drawn(4)]
  expect(some.every(Number.isFinite)).toBe(true)
  expect(Math.max(...some.map((x, i) => Math.abs(x - (none[i] ?? 0))))).toBeGreaterThan(1e-4)
})
