/**
 * What of latentgraph runs in a browser: graphs from declaration to training steps and samplers, and executors on
 * TensorFlow.js and onnxruntime-web. Nothing here reads files or imports a module of Node; the packages that compute are
 * loaded by the program, so that its bundler sees them.
 *
 * @example
 * import { tfjs } from 'latentgraph/browser'
 *
 * const executor = tfjs('webgpu', {
 *   core: () => import('@tensorflow/tfjs-core'),
 *   backend: () => import('@tensorflow/tfjs-backend-webgpu'),
 * })
 */
export * from './declare/index.ts'
export * as diffusion from './diffusion/index.ts'
export * as gaussian from './distributions/gaussian.ts'
export * as random from './distributions/random.ts'
export {
  type Checked,
  collect,
  type Effect,
  type Errors,
  effect,
  type LatentError,
  showError,
  showErrors,
} from './error.ts'
export {
  type Carry,
  type CompileOptions,
  type Executable,
  type Executor,
  floats,
  ints,
  type Stepper,
  type Value,
  type Values,
} from './execute/executor.ts'
export { onnx, type WebDevice, type WebLibrary } from './execute/onnx/web.ts'
export { reference } from './execute/reference/index.ts'
export { adapter, type Packages, tfjs, type WebBackend } from './execute/tfjs/web.ts'
export { decodeGraph, encodeGraph } from './graph/codec.ts'
export { type Cost, cost } from './graph/cost.ts'
export { feedTypes, type Graph, inputs, type Node, noises, outputTypes, parameters } from './graph/graph.ts'
export { contentHash } from './graph/hash.ts'
export { printGraph } from './graph/print.ts'
export { type DType, float, int, type Shape, showType, size, type TensorType } from './graph/types.ts'
export * as losses from './losses/index.ts'
export * as nn from './nn/index.ts'
export * as optimizers from './optimizers/index.ts'
export { E, flow, O, pipe, TE } from './prelude.ts'
export * as samplers from './samplers/index.ts'
export * as learningRates from './schedulers/learning-rate.ts'
export * as noiseSchedules from './schedulers/noise-schedule.ts'
export * as paths from './schedulers/paths.ts'
export { initialParameters, noiseFeeds } from './train/state.ts'
export { type OptimizerTurn, type StepOptions, type StepPlan, stepOfTurns, trainingStep } from './train/step.ts'
export * from './transform/index.ts'
