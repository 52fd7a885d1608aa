/** Every executor by name; `onnx` is `onnx:cpu`. Which of them can run here shows when they compile. */
export const executorNames = [
  'reference',
  'onnx',
  'onnx:cpu',
  'onnx:webgpu',
  'onednn',
  'xla:cuda',
  'xla:rocm',
  'xla:tpu',
  'xla:cpu',
  'tfjs:node-gpu',
  'tfjs:node',
  'tfjs:webgpu',
  'tfjs:wasm',
  'tfjs:cpu',
] as const
export type ExecutorName = (typeof executorNames)[number]
