import { expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { floats } from '../../src/execute/executor.ts'
import { float, type Shape } from '../../src/graph/types.ts'
import { pipe } from '../../src/prelude.ts'
import { present } from '../arbitrary/executors.ts'
import { graphOf, right } from './onnx-support.ts'

// onnx:webgpu is not asked: on SwiftShader it ends the process while it runs.
test.each(await present(['onnx:cpu', 'onednn', 'tfjs:wasm', 'tfjs:cpu', 'tfjs:node', 'tfjs:webgpu', 'xla:cpu']))(
  'arrays without numbers are reshaped, and a sum over none is 0: $name',
  async ({ executor }) => {
    const [l, r] = [D.input('l', float(2, 0)), D.input('r', float(0, 3))]
    const graph = graphOf({ product: pipe(l, D.matmul(r)), turned: pipe(r, D.mul(2), D.reshape(3, 0)) })
    const none = (shape: Shape) => floats(shape, new Float32Array(0))
    const program = right(await executor.compile(graph, { mode: 'training' })())
    const found = right(await program.run({ l: none([2, 0]), r: none([0, 3]) })())
    expect(found.product?.data).toEqual(new Float32Array(6))
    expect(found.turned?.shape).toEqual([3, 0])
    program.dispose()
  },
)
