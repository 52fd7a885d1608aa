import type { Json } from '../io/checkpoint.ts'
import type { Words } from '../text/learnt.ts'
import type { ModelView } from './api.ts'

/** A run as files of a page that draws by itself. */

/** A file beside the page. */
export interface Part {
  readonly file: string
  readonly bytes: number
  /** In hexadecimal: what the browser keeps is kept by it. */
  readonly sha256: string
}

/** ONNX Runtime for the web: its module, and the WebAssembly that it loads by another. */
export interface Engine {
  readonly script: string
  readonly module: string
  readonly binary: Part
}
export const engineNames = ['webgpu', 'wasm'] as const
export type EngineName = (typeof engineNames)[number]

/** `site.json`. */
export interface Site {
  readonly version: string
  readonly model: ModelView
  readonly experiment: Json
  readonly classes: readonly string[]
  readonly scale: number
  readonly words?: Words
  /** Weights, in single or half precision. */
  readonly firstStage?: Part
  readonly diffusion: Part
  readonly engines: Readonly<Record<EngineName, Engine>>
}
