import tfPlain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'
import tfSimd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'
import tfThreads from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm?url'
import ortGpuModule from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs?url'
import ortGpuBinary from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url'
import ortModule from 'onnxruntime-web/ort-wasm-simd-threaded.mjs?url'
import ortBinary from 'onnxruntime-web/ort-wasm-simd-threaded.wasm?url'
import { type Executor, onnx, tfjs } from '../../src/browser.ts'
import type { EngineName } from './choices.ts'

/** What runs the graphs. A package is loaded, from this page's own origin, when its engine is chosen. */

const core = () => import('@tensorflow/tfjs-core')
const threads = navigator.hardwareConcurrency

export const engines: { readonly [N in EngineName]: () => Executor } = {
  'tfjs:webgpu': () => tfjs('webgpu', { core, backend: () => import('@tensorflow/tfjs-backend-webgpu') }),
  'tfjs:wasm': () =>
    tfjs('wasm', {
      core,
      backend: async () => {
        const { setThreadsCount, setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm')
        setWasmPaths({
          'tfjs-backend-wasm.wasm': tfPlain,
          'tfjs-backend-wasm-simd.wasm': tfSimd,
          'tfjs-backend-wasm-threaded-simd.wasm': tfThreads,
        })
        setThreadsCount(threads)
      },
    }),
  'onnx:webgpu': () =>
    onnx('webgpu', async () => {
      const ort = await import('onnxruntime-web/webgpu')
      ort.env.wasm.wasmPaths = { mjs: ortGpuModule, wasm: ortGpuBinary }
      return ort
    }),
  'onnx:wasm': () =>
    onnx('wasm', async () => {
      const ort = await import('onnxruntime-web/wasm')
      ort.env.wasm.wasmPaths = { mjs: ortModule, wasm: ortBinary }
      ort.env.wasm.numThreads = crossOriginIsolated ? threads : 1
      return ort
    }),
}
