import type { Effect } from '../../error.ts'
import type { Executor, Values } from '../../execute/executor.ts'
import type { LatentDiffusion } from '../../experiment/diffusion-stage.ts'
import type { Experiment } from '../../experiment/document.ts'
import type { Sampling } from '../../experiment/sampling.ts'
import type { TextReader } from '../../text/prompt.ts'
import type { Parted } from '../data.ts'
import type { CheckpointIdentity, Evaluation } from './document.ts'
import type { Extractor } from './extractors.ts'

/** What is evaluated: networks and pictures. */
export interface Evaluated {
  readonly experiment: Experiment
  readonly data: Parted
  readonly checkpoints: readonly CheckpointIdentity[]
  readonly firstStage: Values
  /** Absent: reconstructions alone. */
  readonly diffusion?: {
    readonly model: LatentDiffusion
    readonly state: Values
    readonly scale: number
    /** Where the model reads texts. */
    readonly tokens?: TextReader
  }
}

export interface EvaluationOptions {
  /** Where pictures and figures are written. */
  readonly dir: string
  readonly executor: Executor
  /** Of latentgraph. */
  readonly version: string
  readonly count: number
  /** Training pictures that samples are compared with, at most: spread evenly over all. */
  readonly references: number
  /** Of the variational bound, where it is asked for: how many timesteps stand for all. */
  readonly bits?: number
  /** How many captions are drawn, where that is asked for. */
  readonly captions?: number
  readonly seed: number
  readonly sampling: Sampling
  readonly extractors: readonly Extractor[]
  /** Errors (`file`) where the folder is no longer this process's. */
  readonly held: Effect<void>
  /** What the figures will be compared with. */
  readonly against?: { readonly path: string; readonly evaluation: Evaluation }
  readonly listener: {
    readonly doing: (what: string) => void
    readonly onStep: (name: string, done: number, of: number) => void
    /** Called once nothing is left but arithmetic that cannot be asked to stop. */
    readonly figuring: () => void
  }
}
