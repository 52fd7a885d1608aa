import type { BoxItem } from '../data/boxes.ts'
import type { Effect } from '../error.ts'
import type { Conditioner } from '../experiment/conditioning.ts'
import type { Items } from '../train/inference.ts'
import type { PictureSource } from './picture-source.ts'

/** How what a request names is read: files where there are some, pictures of any size. */

/** A picture as a model takes it, and the size that it came in. */
export interface ReadPicture {
  /** [1, 3, size, size] in [-1, 1]. */
  readonly picture: Items
  readonly width: number
  readonly height: number
}

/** What drawing begins with. */
export interface FromOptions {
  readonly from?: PictureSource
  readonly strength?: number
  readonly mask?: PictureSource
  readonly invert?: true
  readonly fromClass?: string
  readonly fromPrompt?: string
  readonly interpolate?: number
  /** How far each picture of a row goes there; evenly from nothing to all where left out. */
  readonly shares?: readonly number[]
  readonly vary?: number
}

export interface ConditionOptions extends FromOptions {
  readonly hint?: PictureSource
  readonly lowResolution?: PictureSource
  readonly labelMap?: PictureSource
}

/** What the model is told of pictures. */
export interface Condition {
  /** The same for each picture that is drawn. */
  readonly pictures?: Float32Array
  /** What was done to them, where they are not as the model takes them. */
  readonly note?: string
  /** The options that say what drawing begins with, without those that say the condition. */
  readonly rest: FromOptions
}

export interface Reads {
  /** Cut and resized to a square. Errors: `file`, `data`. */
  readonly picture: (source: PictureSource, size: number) => Effect<ReadPicture>
  /** Prompts of a file, one a line. Errors: `file`, `usage`. */
  readonly prompts: (path: string) => Effect<readonly string[]>
  /** Boxes as they are written down, or in a file. Errors: `data`, `file`. */
  readonly boxes: (given: string) => Effect<readonly BoxItem[]>
  /**
   * What a model is told of pictures that options name, `count` times; nothing for models that are told none. Errors (`usage`): a
   * picture for these, or none for the others; `file`.
   */
  readonly condition: (conditioner: Conditioner, options: ConditionOptions, count: number) => Effect<Condition>
}
