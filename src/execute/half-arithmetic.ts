import { type Half, halves } from '../graph/types.ts'
import { type ExecutorName, executorNames } from './names.ts'

/**
 * What an engine makes of half precision: has it itself, at least for products; computes in float32 and rounds each result, which takes
 * longer than float32; one or the other, whichever is faster on the processor; or has no way to.
 */
export const ways = ['computes', 'by processor', 'simulates', 'refuses'] as const
export type Way = (typeof ways)[number]
type HalfArithmetic = { readonly [H in Half]: Way }

const simulates: HalfArithmetic = { float16: 'simulates', bfloat16: 'simulates' }
const byProcessor: HalfArithmetic = { float16: 'by processor', bfloat16: 'by processor' }
const computes: HalfArithmetic = { float16: 'computes', bfloat16: 'computes' }
const refuses: HalfArithmetic = { float16: 'refuses', bfloat16: 'refuses' }
/** Of every executor. */
export const halfArithmetic: { readonly [N in ExecutorName]: HalfArithmetic } = {
  reference: simulates,
  onnx: simulates,
  'onnx:cpu': simulates,
  onednn: byProcessor,
  'xla:cuda': computes,
  'xla:rocm': computes,
  'xla:tpu': computes,
  'xla:cpu': computes,
  /** WGSL has float16 as a feature of adapters, and no bfloat16. */
  'onnx:webgpu': { float16: 'computes', bfloat16: 'refuses' },
  'tfjs:node-gpu': computes,
  'tfjs:node': computes,
  /** TensorFlow.js holds no arrays of 16 bits. */
  'tfjs:webgpu': refuses,
  'tfjs:wasm': refuses,
  'tfjs:cpu': refuses,
}

/** The executors that go a way, those that go it with one dtype alone with that. */
export const executorsThat = (way: Way): readonly string[] =>
  executorNames.flatMap((name) => {
    const found = halves.filter((dtype) => halfArithmetic[name][dtype] === way)
    return found.length === 0 ? [] : [found.length === halves.length ? name : `${name} (${found.join()})`]
  })
