import { type Effect, failure, reasonOf } from '../../error.ts'
import { TE } from '../../prelude.ts'
import type { Executor } from '../executor.ts'
import { executorOn } from './executor.ts'
import type { Library, Runtime } from './runtime.ts'

/** Devices of onnxruntime-web. */
export type WebDevice = 'wasm' | 'webgpu'

/** What is used of onnxruntime-web's module. */
export interface WebLibrary extends Library {
  readonly env: {
    logLevel?: 'verbose' | 'info' | 'warning' | 'error' | 'fatal'
    readonly versions: { readonly web?: string }
  }
}

const runtimeOf = (load: () => Promise<WebLibrary>): Effect<Runtime> =>
  TE.tryCatch(
    async () => {
      const { env, InferenceSession, Tensor } = await load()
      env.logLevel = 'error'
      return {
        InferenceSession,
        Tensor,
        version: env.versions.web ?? 'unknown',
        readsFiles: false,
        session: () => ({}),
        blockSize: async () => null,
        explained: (_, otherwise) => async () => otherwise,
      }
    },
    (e) => [
      failure('compile', 'onnxruntime-web', 'ONNX Runtime for the web', reasonOf(e), 'npm install onnxruntime-web'),
    ],
  )

/**
 * Runs graphs on onnxruntime-web, which the program loads: `wasm` takes its module `onnxruntime-web/wasm`, `webgpu`
 * `onnxruntime-web/webgpu`. Threads are the module's own setting (`env.wasm.numThreads`), and need a page that is
 * cross-origin isolated.
 *
 *     onnx('wasm', () => import('onnxruntime-web/wasm'))
 */
export const onnx = (device: WebDevice, load: () => Promise<WebLibrary>): Executor =>
  executorOn(device, runtimeOf(load))
