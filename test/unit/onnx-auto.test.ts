import { afterEach, expect, test, vi } from 'vitest'
import { auto, executorByName, executorNames } from '../../src/execute/auto.ts'
import { available } from '../../src/execute/onnx/index.ts'
import { realAdapter } from '../../src/execute/onnx/real-adapter.ts'
import { E } from '../../src/prelude.ts'
import { right } from './onnx-support.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

test('every name gives an executor, a slip a suggestion', async () => {
  const named = await Promise.all(executorNames.map((name) => executorByName(name)()))
  expect(named.map((found) => right(found).name)).toEqual(executorNames.map((n) => (n === 'onnx' ? 'onnx:cpu' : n)))
  expect(await executorByName('onx:webgpu')()).toEqual(
    E.left([expect.objectContaining({ tag: 'config', got: 'onx:webgpu', hint: 'did you mean "onnx:webgpu"?' })]),
  )
  expect(E.isLeft(await executorByName('toString')())).toBe(true)
})

test('what is there is told, and where no engine was set up a GPU is chosen, else the CPU', async () => {
  vi.stubEnv('XDG_CONFIG_HOME', '/nowhere')
  vi.stubEnv('PJRT_NAMES_AND_LIBRARY_PATHS', undefined)
  const found = right(await available())
  expect(found.providers).toContainEqual({ name: 'cpu', bundled: true })
  expect(found.version).toMatch(/^1\.\d+/)
  const { executor, reason } = right(await auto())
  const gpu = await realAdapter()
  expect(executor.name).toBe(gpu.usable ? 'onnx:webgpu' : 'onnx:cpu')
  expect(reason).toContain(gpu.usable ? gpu.what : `ONNX Runtime ${found.version} on the CPU`)
})
