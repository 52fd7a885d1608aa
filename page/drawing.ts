import type { LatentError } from '../src/error.ts'
import type { DrawingEvent } from '../src/serve/api.ts'

/** A drawing as the page follows it. */

export interface Frame {
  readonly done: number
  readonly pictures: readonly string[]
}
export interface Drawing {
  readonly phase: 'idle' | 'queued' | 'drawing' | 'done' | 'failed' | 'stopped'
  readonly place: number
  readonly done: number
  readonly of: number
  readonly frames: readonly Frame[]
  /** In the end. */
  readonly pictures: readonly string[]
  readonly errors: readonly LatentError[]
  /** How long it took. */
  readonly ms?: number
}

export const idle: Drawing = { phase: 'idle', place: 0, done: 0, of: 0, frames: [], pictures: [], errors: [] }
export const begun: Drawing = { ...idle, phase: 'drawing' }

/** Pictures of a batch among those that were there. */
const placed = (before: readonly string[], from: number, pictures: readonly string[]): readonly string[] => [
  ...before.slice(0, from),
  ...pictures,
  ...before.slice(from + pictures.length),
]

type Of<K extends DrawingEvent['kind']> = Extract<DrawingEvent, { readonly kind: K }>
const tellings: { readonly [K in DrawingEvent['kind']]: (d: Drawing, event: Of<K>) => Drawing } = {
  queued: (d, { place }) => ({ ...d, phase: 'queued', place }),
  step: (d, { done, of, from, pictures }) => ({
    ...d,
    ...{ phase: 'drawing', done, of },
    frames:
      pictures === undefined
        ? d.frames
        : [...d.frames, { done, pictures: placed(d.frames.at(-1)?.pictures ?? [], from, pictures) }],
  }),
  done: (d, { drawn }) => ({ ...d, phase: 'done', done: d.of, pictures: drawn.pictures }),
  failed: (d, { errors }) => ({ ...d, phase: 'failed', errors }),
}
const tell = <K extends DrawingEvent['kind']>(kind: K, d: Drawing, event: Of<K>): Drawing => tellings[kind](d, event)

/** The drawing as of an event. */
export const after = (d: Drawing, event: DrawingEvent): Drawing => tell(event.kind, d, event)
