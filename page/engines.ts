import { adapter, type Executor, onnx, type WebLibrary } from '../src/browser.ts'
import type { EngineName, Site } from '../src/serve/static-files.ts'
import { load } from './files.ts'

/** What of the browser draws: its GPU by WebGPU where there is one, else its processors by WebAssembly. */

interface Choice {
  readonly engine: EngineName
  readonly says: string
}

const most = 8
const threads = (): number => (crossOriginIsolated ? Math.min(most, navigator.hardwareConcurrency) : 1)

const onProcessors = (): Choice => ({
  engine: 'wasm',
  says: crossOriginIsolated
    ? `Draws on ${threads()} threads of the processor.`
    : 'Draws on one thread of the processor: on more where the server of this page sends Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.',
})

/** A GPU that is none, but software, is slower than the processors by themselves. */
export const chosen = async (wanted: EngineName | undefined): Promise<Choice> => {
  if (wanted === 'wasm') return onProcessors()
  const { usable, what, hardware } = await adapter()
  return usable && (hardware || wanted === 'webgpu')
    ? { engine: 'webgpu', says: `Draws on the GPU, ${what}; ?on=wasm behind the address takes the processor.` }
    : onProcessors()
}

interface Library extends WebLibrary {
  readonly env: WebLibrary['env'] & {
    readonly wasm: { wasmPaths?: unknown; wasmBinary?: ArrayBufferLike; numThreads?: number }
  }
}

/** The engine, once its WebAssembly is there. */
export const engineOf = async (
  name: EngineName,
  { engines }: Site,
  base: string,
  told: (done: number) => void,
): Promise<Executor> => {
  const { script, module, binary } = engines[name]
  const bytes = await load(binary, base, told)
  return onnx(name, async () => {
    const library: Library = await import(/* @vite-ignore */ new URL(script, base).href)
    library.env.wasm.wasmPaths = { mjs: new URL(module, base).href, wasm: new URL(binary.file, base).href }
    library.env.wasm.wasmBinary = bytes.buffer
    library.env.wasm.numThreads = threads()
    return library
  })
}
