import { type Effect, failure, reasonOf } from '../../error.ts'
import { pipe, TE } from '../../prelude.ts'
import { explained } from './adapter-error.ts'
import { blockSize } from './block-size.ts'
import { load } from './package.js'
import type { Runtime } from './runtime.ts'
import { checkThreads, threadsHere } from './threads.ts'

export interface NativeRuntime extends Runtime {
  /** Providers the native build knows; those not bundled need libraries of their own (CUDA, TensorRT). */
  readonly providers: readonly { readonly name: string; readonly bundled: boolean }[]
}

const found: Effect<NativeRuntime> = TE.tryCatch(
  async () => {
    const { env, InferenceSession, listSupportedBackends, Tensor } = await load()
    return {
      InferenceSession,
      Tensor,
      version: env.versions.node ?? 'unknown',
      readsFiles: true,
      session: ({ threads = threadsHere() }) => ({ intraOpNumThreads: threads, interOpNumThreads: 1 }),
      blockSize: blockSize({ InferenceSession, Tensor }),
      explained,
      providers: listSupportedBackends().map(({ name, bundled }) => ({ name, bundled })),
    }
  },
  (e) => [
    failure(
      'compile',
      'onnxruntime-node',
      'a native build of ONNX Runtime for this machine',
      reasonOf(e),
      `there are builds for linux and win32 on x64 and arm64, and darwin on arm64; this is ${process.platform} ${process.arch}`,
    ),
  ],
)

/** Node's: loaded when first needed, 45 MB of native code that not every machine has a build for. */
export const runtime: Effect<NativeRuntime> = pipe(
  TE.rightIO(checkThreads),
  TE.flatMapEither((sound) => sound),
  TE.flatMap(() => found),
)
