/**
 * latentgraph: latent diffusion as typed, checked, differentiable graphs.
 *
 * What one builds expressions with stands at the top level; each other room is a namespace.
 *
 * @example
 * import { float, freeze, grad, input, matmul, nn, parameter, pipe, reference, sum } from 'latentgraph'
 *
 * const x = input('x', float(4, 8))
 * const loss = pipe(x, nn.linear('head', { out: 1 }), sum())
 */
export * as adapters from './adapters/index.ts'
export type { OwnPicture } from './data/own.ts'
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
  orThrow,
  showError,
  showErrors,
  type Thrown,
} from './error.ts'
export { auto, executorByName, executorNames } from './execute/auto.ts'
export { evaluate } from './execute/evaluate.ts'
export {
  type Carry,
  type CompileOptions,
  type Executable,
  type Executor,
  type FileArray,
  type FileArrays,
  floats,
  ints,
  type Stepper,
  type Value,
  type Values,
} from './execute/executor.ts'
export { type Explained, type ExplainOptions, explainText } from './execute/explain.ts'
export { inHalf } from './execute/in-half.ts'
export { onnx } from './execute/onnx/index.ts'
export { reference } from './execute/reference/index.ts'
export { crossChecks } from './experiment/cross-checks.ts'
export {
  type Declared,
  type Definition,
  defineExperiment,
  type ExperimentDefinition,
} from './experiment/define.ts'
export { type Experiment, experiment } from './experiment/document.ts'
export { codeDecoderGraph, codesGraph } from './experiment/first-stage.ts'
export { importCompVis } from './experiment/import/compvis.ts'
export { type Declaration, loadDeclaration, loadExperiment } from './experiment/load.ts'
export type { Own, OwnData, OwnLoss, OwnNetwork } from './experiment/own.ts'
export { decodeGraph, encodeGraph } from './graph/codec.ts'
export { type Cost, cost } from './graph/cost.ts'
export { feedTypes, type Graph, inputs, type Node, noises, outputTypes, parameters } from './graph/graph.ts'
export { contentHash } from './graph/hash.ts'
export type { Attributes, Initializer, Meaning, OpKind } from './graph/ops.ts'
export { printGraph } from './graph/print.ts'
export { type DType, float, int, type Shape, showType, size, type TensorType } from './graph/types.ts'
export { readCheckpointFile } from './io/checkpoint-file.ts'
export { type FiledArrays, fileArrays, filedArrays } from './io/file-arrays.ts'
export { readPicture, writePicture } from './io/images.ts'
export { type LoadReport, loadReport, type Wanted } from './io/load-report.ts'
export { type GridOptions, grid, type Picture, type Rgb } from './io/pictures.ts'
export { type UnwrittenArray, type UnwrittenArrays, unwritten, writeSafetensors } from './io/safetensors-writer.ts'
export type { StoredArray, StoredArrays } from './io/stored.ts'
export { readTorch } from './io/torch/index.ts'
export * as losses from './losses/index.ts'
export * as metrics from './metrics/index.ts'
export * as nn from './nn/index.ts'
export * as optimizers from './optimizers/index.ts'
export { E, flow, O, pipe, TE } from './prelude.ts'
export * as original from './published/compvis/index.ts'
export * as diffusers from './published/diffusers/index.ts'
export { type ModelSection, modelSections, type PublishedModel, publishedModel } from './published/document.ts'
export {
  type CallOptions,
  type LoadedRun,
  type LoadOptions,
  type LossRequest,
  loadModel,
  loadRun,
} from './run/loaded.ts'
export type { ConditionKind, Description, Parameter, PictureKind } from './run/opened.ts'
export type { SampleFrom, SampleRequest, SampleStep } from './run/request.ts'
export { tensorboard } from './run/tensorboard.ts'
export { jsonLines, type Trained, type TrainOptions, train } from './run/train.ts'
export * as samplers from './samplers/index.ts'
export * as learningRates from './schedulers/learning-rate.ts'
export * as noiseSchedules from './schedulers/noise-schedule.ts'
export * as paths from './schedulers/paths.ts'
export * as text from './text/index.ts'
export { colorize, type PictureShape } from './train/colorize.ts'
export * as drawing from './train/drawing.ts'
export { type Metrics, type Sink, type StageName, sinks, type TrainingEvent } from './train/events.ts'
export type { RunOptions } from './train/options.ts'
export { type Plan, planExperiment } from './train/plan.ts'
export { type RunSummary, trainExperiment } from './train/run.ts'
export { noiseFeeds } from './train/state.ts'
export {
  type OptimizerTurn,
  type StepOptions,
  type StepPlan,
  stepOfTurns,
  trainingStep,
} from './train/step.ts'
export * from './transform/index.ts'
