import { existsSync } from 'node:fs'
import { input, neg } from '../../src/declare/index.ts'
import { executorByName } from '../../src/execute/auto.ts'
import type { Executor } from '../../src/execute/executor.ts'
import * as web from '../../src/execute/onnx/web.ts'
import { float } from '../../src/graph/types.ts'
import { E, pipe } from '../../src/prelude.ts'
import { frozen } from './cases.ts'
import { right } from './run.ts'

/**
 * How far an executor may be from the float64 reference, relative to the greatest element of an array or to 1.
 * `op`: some units in the last place of float32 (6e-8).`graph`: what rounding in each of some
 * dozen ops can add up to. `training`: what it adds up to over two whole training steps.
 */
export const tolerances = {
  reference: { op: 2e-6, graph: 1e-4, training: 1e-4 },
  'onnx:cpu': { op: 2e-6, graph: 1e-4, training: 1e-4 },
  'onnx:wasm': { op: 2e-6, graph: 1e-4, training: 1e-4 },
  'onnx:webgpu': { op: 2e-6, graph: 1e-4, training: 1e-4 },
  'tfjs:cpu': { op: 2e-6, graph: 1e-4, training: 1e-4 },
  'tfjs:wasm': { op: 2e-6, graph: 1e-4, training: 1e-4 },
  'tfjs:webgpu': { op: 4e-6, graph: 2e-4, training: 1e-4 },
} as const
export type Name = keyof typeof tolerances
/** Those that are compared with the reference. */
export const everyName: readonly Name[] = [
  'onnx:cpu',
  'onnx:wasm',
  'onnx:webgpu',
  'tfjs:cpu',
  'tfjs:wasm',
  'tfjs:webgpu',
]

/** SwiftShader, a software GPU that Debian's chromium brings; used where no other Vulkan driver is named. */
const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json'

/** Browsers' ONNX Runtime runs in Node too. */
const inBrowsers: { readonly [N in Name]?: Executor } = {
  'onnx:wasm': web.onnx('wasm', () => import('onnxruntime-web')),
}

export interface Present {
  readonly name: Name
  readonly executor: Executor
}
/** Those that can run here; says in a line why the others cannot. */
export const present = async (names: readonly Name[]): Promise<readonly Present[]> => {
  if (process.env.VK_ICD_FILENAMES === undefined && existsSync(swiftShader)) process.env.VK_ICD_FILENAMES = swiftShader
  const found: Present[] = []
  for (const name of names) {
    const executor = inBrowsers[name] ?? right(executorByName(name))
    const probe = await executor.compile(frozen({ y: pipe(input('x', float(1)), neg) }), { mode: 'training' })()
    if (E.isRight(probe)) {
      probe.right.dispose()
      found.push({ name, executor })
    } else console.warn(`${name} is not tested: ${probe.left.map(({ got }) => got).join('; ')}`)
  }
  return found
}
