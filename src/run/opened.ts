import type { Effect } from '../error.ts'
import type { Executor } from '../execute/executor.ts'
import type { Metrics } from '../train/events.ts'
import type { Items } from '../train/inference.ts'
import type { ToldOf } from './losses.ts'
import type { PictureSource } from './picture-source.ts'
import type { Options } from './sample-options.ts'

/** A run that is open, one's own or a published one: the command line and a program ask it alike. */

/** One step of a batch of the pictures. */
export interface Step {
  /** Steps done of all batches together, and how many there are. */
  readonly done: number
  readonly of: number
  /** The first picture of the batch, and how many there are in it. */
  readonly from: number
  readonly n: number
  /** The latents that it is going to be, as diffusion sees them and as far as the step knows, where that was asked for. */
  readonly latents?: Items
  /** The pictures of them. */
  readonly predicted?: Effect<Items>
}
export interface Watching {
  /** Whether steps tell what they predict. */
  readonly watch?: boolean
  /** Told of each step; a left ends the drawing before the next. */
  readonly onStep?: (step: Step) => Effect<void>
}

/** A request whose pictures are read and encoded. */
export interface Begun {
  /** How it is drawn, in words. */
  readonly says: string
  readonly draw: (watching: Watching) => Effect<Items>
}

/** A request that was found to fit. */
export interface Prepared {
  readonly n: number
  readonly width: number
  readonly height: number
  /** How many stand in a row where they are shown together. */
  readonly columns: number
  readonly seed: number
  /** What was done to what was asked, a sentence each. */
  readonly notes: readonly string[]
  readonly begin: (executor: Executor) => Effect<Begun>
}

/** What a model is told of a picture that it draws. */
export type ConditionKind = 'none' | 'class' | 'text' | 'vector' | 'boxes'
/** A picture that a model is told, as the options name it. */
export type PictureKind = 'low resolution' | 'label map' | 'mask' | 'hint' | 'depth' | 'picture'

/** What can be asked of a run. */
export interface Description {
  readonly name: string
  readonly condition: ConditionKind
  /** The picture that every request needs, where there is one. */
  readonly picture?: PictureKind
  /** Names of classes; of a published model their numbers. */
  readonly classes?: readonly string[]
  readonly samplers: readonly string[]
  /** Where along the way the network can be asked; none where the model itself says. */
  readonly spacings: readonly string[]
  readonly defaults: {
    readonly steps: number
    readonly guidance: number
    readonly sampler: string
    readonly spacing?: string
    readonly seed: number
    /** Pictures of each kind. */
    readonly count: number
  }
  /** Pixels of its pictures. */
  readonly size: { readonly width: number; readonly height: number }
  /** How many pictures can be asked for at once. */
  readonly maxCount: number
}

/** Arrays that a run draws with. */
export interface Parameter {
  readonly name: string
  readonly shape: readonly number[]
  readonly read: Effect<Float32Array>
}

export interface Opened {
  readonly kind: 'own' | 'published'
  readonly describe: Description
  /** The executor that it names. */
  readonly executor: string
  /** What is to be said of its weights. */
  readonly notes: readonly string[]
  readonly prepare: (options: Options) => Effect<Prepared>
  /** A picture as the model takes it, [1, 3, H, W] in [-1, 1]. Errors at its place. */
  readonly read: (source: PictureSource, at: string) => Effect<Items>
  /** Such pictures to latents, without noise. */
  readonly encode: (executor: Executor, pictures: Items) => Effect<Items>
  readonly decode: (executor: Executor, latents: Items) => Effect<Items>
  /** What the objective that it was trained by says of such pictures, by the names of its losses. */
  readonly losses: (executor: Executor, pictures: Items, told: ToldOf) => Effect<Metrics>
  readonly parameters: readonly Parameter[]
  readonly dispose: () => Promise<void>
}
