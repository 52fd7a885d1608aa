import { existsSync } from 'node:fs'
import { describe, test } from 'vitest'
import type { Checked, Errors } from '../../src/error.ts'
import { executorByName } from '../../src/execute/auto.ts'
import type { Executor } from '../../src/execute/executor.ts'
import * as web from '../../src/execute/onnx/web.ts'
import { ready } from '../../src/execute/ready.ts'
import { E } from '../../src/prelude.ts'
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
  onednn: { op: 2e-6, graph: 1e-4, training: 1e-4 },
  'xla:cpu': { op: 2e-6, graph: 1e-4, training: 1e-4 },
  'tfjs:node': { op: 2e-6, graph: 1e-4, training: 1e-4 },
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
  'onednn',
  'xla:cpu',
  'tfjs:node',
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

/** The executor, if it can run here. */
const tried = async (name: Name): Promise<Checked<Executor>> => {
  if (process.env.VK_ICD_FILENAMES === undefined && existsSync(swiftShader)) process.env.VK_ICD_FILENAMES = swiftShader
  return ready(inBrowsers[name] ?? right(await executorByName(name)()))()
}
const known = new Map<Name, Promise<Checked<Executor>>>()
const found = (name: Name): Promise<Checked<Executor>> => {
  const asked = known.get(name) ?? tried(name)
  known.set(name, asked)
  return asked
}
const reasonIn = (errors: Errors): string => {
  const hints = errors.flatMap(({ hint }) => hint ?? [])
  return [...errors.map(({ got }) => got), ...hints].join('; ')
}

export interface Present {
  readonly name: Name
  readonly executor: Executor
}
/** Those that can run here; says in a line why the others cannot. */
export const present = async (names: readonly Name[]): Promise<readonly Present[]> => {
  const here: Present[] = []
  for (const name of names) {
    const executor = await found(name)
    if (E.isRight(executor)) here.push({ name, executor: executor.right })
    else console.warn(`${name} is not tested: ${reasonIn(executor.left)}`)
  }
  return here
}

/**
 * Tests of an executor that not every machine can run. Elsewhere `body` is not called: one skipped test stands for all of
 * them and says why.
 */
export const suiteOn = async (name: Name, title: string, body: (executor: Executor) => void): Promise<void> => {
  const executor = await found(name)
  if (E.isRight(executor)) describe(title, () => body(executor.right))
  else skipped(title, `${name} cannot run here: ${reasonIn(executor.left)}`)
}
/** One test in the place of those that cannot run here. */
export const skipped = (title: string, reason: string): void => {
  console.warn(`${title}: skipped, ${reason}`)
  test(title, ({ skip }) => skip(reason))
}
