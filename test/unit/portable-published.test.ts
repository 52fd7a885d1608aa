import { InferenceSession, Tensor } from 'onnxruntime-node'
import { expect, it } from 'vitest'
import { floats, ints, type Values } from '../../src/execute/executor.ts'
import { encodePortable } from '../../src/execute/onnx/proto.ts'
import { reference } from '../../src/execute/reference/index.ts'
import { inputs } from '../../src/graph/graph.ts'
import { size } from '../../src/graph/types.ts'
import { portableModel, portableNetworks } from '../../src/pipelines/portable.ts'
import { weightsOf } from '../../src/pipelines/weights.ts'
import { right } from '../arbitrary/run.ts'
import { smallModel } from '../published-model.ts'

/** The networks of a published model for other runtimes, in the one that is here, against the interpreter. */

const pipeline = await smallModel()
const networks = right(portableNetworks(pipeline))

it('there is one for each component, of the names that diffusers has', () => {
  expect(networks.map(({ name }) => name)).toEqual(['denoiser', 'text_encoder', 'text_encoder_2', 'encoder', 'decoder'])
})

it.each(networks.map((network) => [network.name, network] as const))(
  '%s says what the graph says',
  async (_, network) => {
    const leaves = inputs(network.graph)
    const feeds: Values = Object.fromEntries(
      leaves.map(({ name, type: { dtype, shape } }) => [
        name,
        dtype === 'int32'
          ? ints(
              shape,
              Int32Array.from({ length: size(shape) }, (_x, i) => 1 + ((i * 7) % 800)),
            )
          : floats(
              shape,
              Float32Array.from({ length: size(shape) }, (_x, i) => Math.sin(i + name.length)),
            ),
      ]),
    )
    const weights = right(await weightsOf(network.graph, network.component, pipeline.weights)())
    const executable = right(await reference.compile(network.graph, { mode: 'sampling', constants: weights })())
    const expected = right(await executable.run(feeds)())

    const model = right(await portableModel(network, pipeline.weights)())
    expect(new Set(model.nodes.map(({ domain }) => domain))).toEqual(new Set(['']))
    const session = await InferenceSession.create(encodePortable(model, network.doc), { intraOpNumThreads: 1 })
    const answer = await session.run(
      Object.fromEntries(
        Object.entries(feeds).map(([name, { dtype, shape, data }]) => [
          name,
          dtype === 'int32'
            ? new Tensor('int32', Int32Array.from(data), shape)
            : new Tensor('float32', Float32Array.from(data), shape),
        ]),
      ),
    )
    expect(Object.keys(answer).toSorted()).toEqual(Object.keys(expected).toSorted())
    for (const [name, { data }] of Object.entries(expected)) {
      const found = answer[name]?.data
      if (!(found instanceof Float32Array)) throw new Error(`${name} is no array of numbers`)
      const worst = Math.max(...Array.from(data, (x, i) => Math.abs(x - (found[i] ?? Number.NaN))))
      expect(worst, name).toBeLessThan(1e-4 * Math.max(1, ...Array.from(data, Math.abs)))
    }
    await session.release()
  },
)
