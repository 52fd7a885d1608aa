import type { DrawingEvent, Reconstructed, Refused, Settings } from '../src/serve/api.ts'
import type { EngineName, Site } from '../src/serve/static-files.ts'
import type { Opening } from './backend.ts'

/** What the page and the worker that draws for it say to each other. */

export type Order =
  | { readonly kind: 'open'; readonly site: Site; readonly base: string; readonly engine: EngineName | undefined }
  | { readonly kind: 'sample'; readonly id: number; readonly settings: Settings }
  | { readonly kind: 'stop'; readonly id: number }
  | { readonly kind: 'picture'; readonly id: number; readonly file: Blob }
export type News =
  | { readonly kind: 'opening'; readonly opening: Opening }
  | { readonly kind: 'drawing'; readonly id: number; readonly event: DrawingEvent }
  | { readonly kind: 'ended'; readonly id: number }
  | { readonly kind: 'picture'; readonly id: number; readonly found: Reconstructed | Refused }
