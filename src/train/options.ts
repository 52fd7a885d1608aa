import type { Effect } from '../error.ts'
import type { Executor, Values } from '../execute/executor.ts'
import type { Experiment } from '../experiment/document.ts'
import type { FrozenText } from '../experiment/frozen-text.ts'
import type { Own } from '../experiment/own.ts'
import type { Owned } from '../io/owner.ts'
import type { Words } from '../text/learnt.ts'
import type { TextReader } from '../text/prompt.ts'
import type { Sink } from './events.ts'
import type { Follower, Leader } from './ranks.ts'

/** A run, or a published model, whose weights stay as they are while something is trained beside it. */
export interface Base {
  readonly experiment: Experiment
  /** Where its model reads texts: words that it has learnt, or its own tokenizers. */
  readonly words?: Words
  readonly tokens?: TextReader
  /** What latents are multiplied by. */
  readonly scale: number
  readonly firstStage: Values
  readonly diffusion: Values
  /** What of that which is trained begins with, by leaf, where that is not chance. */
  readonly begins?: Values
}

/** Text encoders that a model is told by, which stay as they are. */
export interface HeldTexts {
  readonly tokens: TextReader
  /** By the leaves of what is computed of texts. */
  readonly weights: Values
  /** SHA-256 of the weights and of the tokenizers' files. */
  readonly sha256: string
}

/** How a run is trained. */
export interface RunOptions {
  /** Everything is written below this folder. */
  readonly dir: string
  /** The folder, where the caller owns it already. */
  readonly owned?: Owned
  readonly executor: Executor
  readonly resume: boolean
  readonly tell: Sink
  /** True ends the run soon, a training behind a checkpoint. */
  readonly stopping: () => boolean
  /** Where other processes train with this one, rank 0. */
  readonly leads?: Leader
  /** Where this is one of those others: nothing is written then. */
  readonly follows?: Follower
  /** What the program gives that defined the experiment. */
  readonly own?: Own
  /** Opens what an adapter is of, for an experiment. */
  readonly openBase?: (dir: string, e: Experiment) => Effect<Base>
  /** Opens the text encoders of a condition. */
  readonly openTexts?: (condition: FrozenText) => Effect<HeldTexts>
  /** How a person resumes the run with some settings; in hints. */
  readonly resumeCommand?: (settings: readonly string[]) => string
}
