import { type Checked, type Effect, fail } from '../error.ts'
import { E, pipe, TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { Executor } from './executor.ts'
import { type ExecutorName, executorNames } from './names.ts'
import { onnx } from './onnx/index.ts'
import { runtime } from './onnx/runtime.ts'
import { reference } from './reference/index.ts'
import { tfjs } from './tfjs/index.ts'

export interface Choice {
  readonly executor: Executor
  /** Why this one, in a sentence. */
  readonly reason: string
}

/**
 * The executor to take where none was asked for: the CPU. A GPU is used where it is asked for by name; `available`
 * says whether one answers.
 */
export const auto: Effect<Choice> = pipe(
  runtime,
  TE.map((ort) => ({
    executor: onnx('cpu'),
    reason: `ONNX Runtime ${ort.env.versions.node ?? ''} on the CPU; for a GPU ask for onnx:webgpu`,
  })),
)

const executors: Readonly<Record<ExecutorName, () => Executor>> = {
  reference: () => reference,
  onnx: () => onnx('cpu'),
  'onnx:cpu': () => onnx('cpu'),
  'onnx:webgpu': () => onnx('webgpu'),
  'tfjs:node-gpu': () => tfjs('node-gpu'),
  'tfjs:node': () => tfjs('node'),
  'tfjs:webgpu': () => tfjs('webgpu'),
  'tfjs:wasm': () => tfjs('wasm'),
  'tfjs:cpu': () => tfjs('cpu'),
}
const isExecutorName = (name: string): name is ExecutorName => Object.hasOwn(executors, name)

export { executorNames }

/** The executor that a name stands for; whether it can run here shows when it compiles. */
export const executorByName = (name: string): Checked<Executor> =>
  isExecutorName(name)
    ? E.right(executors[name]())
    : fail('config', 'executor', executorNames.join(' | '), name, didYouMean(name, executorNames))
