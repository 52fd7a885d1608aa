import { type Checked, type Effect, fail } from '../error.ts'
import { E, pipe, TE } from '../prelude.ts'
import { didYouMean } from '../schema.ts'
import type { Executor } from './executor.ts'
import { onnx } from './onnx/index.ts'
import { runtime } from './onnx/runtime.ts'
import { reference } from './reference/index.ts'
import { backends, tfjs } from './tfjs/index.ts'

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

const executors: Readonly<Record<string, () => Executor>> = {
  reference: () => reference,
  onnx: () => onnx('cpu'),
  'onnx:cpu': () => onnx('cpu'),
  'onnx:webgpu': () => onnx('webgpu'),
  ...Object.fromEntries(backends.map((b) => [`tfjs:${b}`, () => tfjs(b)])),
}
export const executorNames: readonly string[] = Object.keys(executors)

/** The executor that a name stands for; whether it can run here shows when it compiles. */
export const executorByName = (name: string): Checked<Executor> => {
  const make = Object.hasOwn(executors, name) ? executors[name] : undefined
  return make === undefined
    ? fail('config', 'executor', executorNames.join(' | '), name, didYouMean(name, executorNames))
    : E.right(make())
}
