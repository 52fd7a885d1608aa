import { expect, test } from 'vitest'
import * as D from '../../src/declare/index.ts'
import { auto } from '../../src/execute/auto.ts'
import { floats } from '../../src/execute/executor.ts'
import { onnx } from '../../src/execute/onnx/index.ts'
import { float } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'
import { skipped } from '../arbitrary/executors.ts'
import { graphOf, right } from './onnx-support.ts'

/** A machine without a GPU and without libraries that were set up, whatever this one has: a file of its own, for the runtime keeps its first adapter. */
process.env.VK_ICD_FILENAMES = '/nowhere/vk_icd.json'
process.env.XDG_CONFIG_HOME = '/nowhere'

const linux = (): void => {
  test('asking for WebGPU without a GPU says what was found and what to install', async () => {
    const made = await onnx('webgpu').compile(graphOf({ y: pipe(D.input('x', float(1)), D.neg) }), {
      mode: 'training',
    })()
    if (E.isRight(made)) throw new Error('an adapter out of nowhere')
    expect(made.left).toEqual([
      {
        tag: 'compile',
        at: 'onnx:webgpu',
        expected: 'a GPU that WebGPU can use',
        got: expect.stringMatching(/^no supported adapters \(GPU devices in \/dev: .*; Vulkan drivers: none\)$/),
        hint: expect.stringContaining('install'),
      },
    ])
  })

  test('auto takes the CPU, and says why', async () => {
    const { executor, reason } = right(await auto())
    expect(executor.name).toBe('onnx:cpu')
    expect(reason).toMatch(
      /^ONNX Runtime 1[.0-9]* on the CPU; not tfjs:node-gpu: [^;]*tensorflow --from VENV --gpu\), nor onnx:webgpu: .*Vulkan drivers: none$/,
    )
    const program = right(await executor.compile(graphOf({ y: D.input('x', float(1)) }), { mode: 'training' })())
    expect(right(await program.run({ x: floats([1], Float32Array.of(1)) })())).toHaveProperty('y')
    program.dispose()
  })
}
if (process.platform === 'linux') linux()
else skipped('without a GPU', `it is Linux' drivers that can be hidden; this is ${process.platform}`)
