import type { LatentError } from '../error.ts'
import type { Description } from '../run/opened.ts'

/** What the server and its page say to each other, as JSON. */

/** What a model can be asked for. */
export interface About {
  readonly name: string
  /** What it is told. */
  readonly condition: string
  readonly classes: readonly string[]
  readonly samplers: readonly string[]
  readonly spacings: readonly string[]
  readonly defaults: Description['defaults']
  readonly size: Description['size']
  /** Prompts to try. */
  readonly examples: readonly string[]
  readonly most: { readonly count: number; readonly steps: number; readonly guidance: number; readonly text: number }
  /** A picture that it must be told, where there is one: it cannot be asked from the page. */
  readonly picture?: string
}

export interface ModelView {
  readonly id: string
  /** The folder, as it was told. */
  readonly run: string
  readonly name: string
  /** Absent as long as it cannot draw. */
  readonly about?: About
  /** Why it cannot draw. */
  readonly why?: string
  /** Whether there is something of a training to look at. */
  readonly trained: boolean
  /** The step of the checkpoint that it draws by, where it has some. */
  readonly step?: number
  /** Whether it is still training: the next drawing takes the newest checkpoint. */
  readonly growing?: boolean
}
export interface Models {
  readonly version: string
  readonly models: readonly ModelView[]
}

export type Start =
  /** On from a picture of the model's size: PNG in base64, and where it is drawn anew, white. */
  | { readonly kind: 'picture'; readonly picture: string; readonly strength: number; readonly mask?: string }
  /** From the noise of the seed to that of another, picture by picture. */
  | { readonly kind: 'between'; readonly towards: number }

export interface Settings {
  readonly prompt?: string
  readonly class?: string
  readonly negative?: string
  readonly count: number
  readonly seed: number
  readonly steps: number
  readonly guidance: number
  readonly sampler: string
  readonly spacing?: string
  readonly from?: Start
}

/** A drawing that is done. */
export interface Drawn {
  readonly id: string
  readonly model: string
  /** What it was drawn by; pictures that it began with are told by `from` and `mask`. */
  readonly settings: Omit<Settings, 'from'> & {
    readonly from?: { readonly kind: 'picture'; readonly strength: number } | Extract<Start, { kind: 'between' }>
  }
  /** URLs. */
  readonly pictures: readonly string[]
  readonly from?: string
  readonly mask?: string
  /** What gives the same pictures again. */
  readonly command: string
  readonly program: string
}

export type DrawingEvent =
  /** Waits; 1 is next. */
  | { readonly kind: 'queued'; readonly place: number }
  | {
      readonly kind: 'step'
      readonly done: number
      readonly of: number
      /** The first of the pictures that are shown. */
      readonly from: number
      /** What the pictures will be, as of this step; URLs of data. */
      readonly pictures?: readonly string[]
    }
  | { readonly kind: 'done'; readonly drawn: Drawn }
  | { readonly kind: 'failed'; readonly errors: readonly LatentError[] }

/** A picture that came in: at the model's size, and what the first stage makes of it; URLs of data. */
export interface Reconstructed {
  readonly picture: string
  readonly reconstruction: string
  /** dB. */
  readonly psnr: number
}

export type Point = Readonly<Record<string, number>>
export type TrainingEvent =
  | {
      readonly kind: 'stages'
      readonly stages: readonly { readonly name: string; readonly steps: number }[]
      /** Whether a process works in the folder. */
      readonly living: boolean
    }
  /** `fresh` where the curve begins anew. */
  | { readonly kind: 'points'; readonly stage: string; readonly points: readonly Point[]; readonly fresh: boolean }
  | {
      readonly kind: 'preview'
      readonly stage: string
      readonly step: number
      readonly shows: string
      readonly url: string
    }

export interface Refused {
  readonly errors: readonly LatentError[]
}
