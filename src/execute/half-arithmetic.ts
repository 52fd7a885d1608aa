import type { Half } from '../graph/types.ts'
import type { ExecutorName } from './names.ts'

/** What an engine makes of half precision; one that simulates it takes longer than in float32. Some ask the processor what is faster. */
type HalfArithmetic = { readonly [H in Half]: 'computes' | 'simulates' | 'refuses' | 'by processor' }

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
  'onnx:webgpu': { float16: 'computes', bfloat16: 'refuses' },
  'tfjs:node-gpu': refuses,
  'tfjs:node': refuses,
  'tfjs:webgpu': refuses,
  'tfjs:wasm': refuses,
  'tfjs:cpu': refuses,
}
