import type { EngineName } from './choices.ts'
import type { Request } from './training.ts'

/** What the page asks of the worker. */
export interface Order extends Request {
  readonly executor: EngineName
}
/** What the worker tells the page. */
export type News =
  | { readonly kind: 'ready'; readonly milliseconds: number }
  | { readonly kind: 'step'; readonly done: number; readonly loss: number; readonly milliseconds: number }
  | { readonly kind: 'samples'; readonly done: number; readonly pictures: readonly Float32Array[] }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly reason: string }
