import { type Effect, effect } from '../error.ts'

/** What a training run tells while it goes, as data: the terminal, files and pages are told the same. */

/** Numbers of one step, as a line of `metrics.jsonl`. */
export type Metrics = Readonly<Record<string, number>>

/** A stage of a training. */
export type StageName = 'first-stage' | 'diffusion'

/**
 * What happens in a run, in order. Of a stage first `stage`; then `step` for each step, and behind one its `validation`, `checkpoint` and
 * `preview` where they are due; `rewound` where steps are done again; at last `stage-done`. The run begins with `run`, and ends with one of
 * `done`, `stopped` and `failed`.
 */
export type TrainingEvent =
  | {
      readonly kind: 'run'
      readonly name: string
      /** The folder that everything is written below. */
      readonly dir: string
      readonly executor: string
      /** Why that one, in a few words. */
      readonly reason: string
      /** Whether an older run of that folder goes on. */
      readonly resumed: boolean
      /** What a person has typed to begin it, where one has. */
      readonly command?: string
    }
  /** What the run is at, outside of its stages' steps: "encoding the pictures". */
  | { readonly kind: 'doing'; readonly what: string }
  /** A sentence for people. */
  | { readonly kind: 'note'; readonly text: string }
  /** A stage of so many steps, `done` of which were done before. */
  | { readonly kind: 'stage'; readonly stage: StageName; readonly steps: number; readonly done: number }
  /** Numbers of a step; the first is 1. */
  | { readonly kind: 'step'; readonly stage: StageName; readonly step: number; readonly metrics: Metrics }
  /** What held-out pictures have said of the state after a step, `val/loss`, and whether it is the best so far of those monitored. */
  | {
      readonly kind: 'validation'
      readonly stage: StageName
      readonly step: number
      readonly metrics: Metrics
      readonly isBest: boolean
    }
  /** A checkpoint was written. */
  | { readonly kind: 'checkpoint'; readonly stage: StageName; readonly step: number; readonly path: string }
  /** Pictures were written: PNG files. */
  | { readonly kind: 'preview'; readonly stage: StageName; readonly step: number; readonly files: readonly string[] }
  /** Steps behind this one are done again. */
  | { readonly kind: 'rewound'; readonly stage: StageName; readonly step: number }
  | { readonly kind: 'stage-done'; readonly stage: StageName }
  | { readonly kind: 'done'; readonly dir: string; readonly report: string }
  | { readonly kind: 'stopped'; readonly dir: string }
  | { readonly kind: 'failed'; readonly dir: string; readonly error: string }

/**
 * Takes what a run tells, one event after the other; the run goes on when it is done with one. An error ends the run.
 *
 * @example
 * const losses: Sink = (event) =>
 *   TE.fromIO(() => {
 *     if (event.kind === 'step') console.log(event.step, event.metrics.loss)
 *   })
 */
export type Sink = (event: TrainingEvent) => Effect<void>

/** Several sinks as one, each told in turn. */
export const sinks =
  (...all: readonly Sink[]): Sink =>
  (event) =>
    effect(async (run) => {
      for (const sink of all) await run(sink(event))
    })

export const doing = (what: string): TrainingEvent => ({ kind: 'doing', what })
export const note = (text: string): TrainingEvent => ({ kind: 'note', text })
