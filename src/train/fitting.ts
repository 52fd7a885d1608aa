import type { Checked, Errors, LatentError } from '../error.ts'
import { autoencoderOf, type Experiment, type Training } from '../experiment/document.ts'
import { setting } from '../experiment/problems.ts'
import { cost } from '../graph/cost.ts'
import { E, RNEA } from '../prelude.ts'
import { shownBytes } from './memory.ts'
import type { StagePlan } from './plan.ts'

/** What of a training decides how much memory a step takes, and leaves what is learnt as it was. */
type Change = Partial<Pick<Training, 'batchSize' | 'accumulate' | 'microBatches' | 'memoryBudget'>>

/** A stage as it would be with its training changed. */
export type Replan = (e: Experiment) => Checked<StagePlan | undefined>

const changed = (e: Experiment, name: StagePlan['name'], change: Change): Experiment => {
  const [stage, { diffusion }] = [autoencoderOf(e), e]
  if (name === 'diffusion')
    return diffusion === undefined
      ? e
      : { ...e, diffusion: { ...diffusion, training: { ...diffusion.training, ...change } } }
  return stage === undefined ? e : { ...e, firstStage: { ...stage, training: { ...stage.training, ...change } } }
}

/** Into how many equal parts a batch can be cut. */
const cuts = (batch: number): readonly number[] =>
  Array.from({ length: batch - 1 }, (_, i) => i + 2).filter((n) => batch % n === 0)
const mebibyte = 2 ** 20
/** Parts are computed side by side, each with a graph of its own. */
const mostParts = 8
/** Ways to fewer bytes, each from what changes least on; of those that stand together the first that helps counts. */
const ways = ({ batchSize, accumulate, microBatches }: Training, bytes: number): readonly (readonly Way[])[] => {
  const parts = cuts(batchSize).filter((n) => (batchSize / n) % microBatches === 0)
  const way = (what: string, changes: readonly Change[]): Way => ({ what, changes })
  return [
    [
      way(
        'as many pictures a step, in turns',
        parts.map((n) => ({ batchSize: batchSize / n, accumulate: accumulate * n })),
      ),
      way(
        'fewer pictures a step',
        parts.map((n) => ({ batchSize: batchSize / n })),
      ),
    ],
    [
      way(
        'the batch in parts',
        cuts(batchSize).flatMap((n) => (n > microBatches && n <= mostParts ? [{ microBatches: n }] : [])),
      ),
    ],
    [way('some of it computed twice', [{ memoryBudget: Math.floor(bytes / mebibyte) }])],
  ]
}
interface Way {
  readonly what: string
  readonly changes: readonly Change[]
}
interface Stage extends Pick<StagePlan, 'name' | 'step'> {
  readonly training: Training
  readonly replan: Replan
}

/** What a device is not asked for in arrays: the program, and gaps between arrays. */
const usable = 0.9
/** What is reckoned was too much; a little less of it would be too. */
const noticeably = 0.75

/** Settings of a stage's training under which a step is reckoned to take no more than a device has, each with what it takes then. */
const whatFits = (e: Experiment, { name, training, replan, step }: Stage, limit: number): readonly string[] => {
  const at = name === 'diffusion' ? '/diffusion/training' : '/firstStage/training'
  const bytes = Math.min(usable * limit, noticeably * cost(step.graph).peakBytes)
  const fitting = ({ what, changes }: Way): string | undefined => {
    for (const change of changes) {
      const planned = replan(changed(e, name, change))
      // What an experiment may not have, it may have of no size.
      if (E.isLeft(planned) || planned.right === undefined) return undefined
      const { peakBytes } = cost(planned.right.step.graph)
      const settings = Object.fromEntries(Object.entries(change).map(([field, value]) => [`${at}/${field}`, value]))
      if (peakBytes <= bytes) return `${setting(settings)} (${what}: about ${shownBytes(peakBytes)})`
    }
    return undefined
  }
  return ways(training, bytes).flatMap((together) => {
    for (const way of together) {
      const found = fitting(way)
      if (found !== undefined) return [found]
    }
    return []
  })
}

/** Errors of too little memory, with what would fit. */
export const saysWhatFits =
  (e: Experiment, stage: Stage) =>
  (errors: Errors): Errors =>
    RNEA.map((error: LatentError): LatentError => {
      const { limit } = error.shortage ?? {}
      if (limit === undefined) return error
      const bytes = shownBytes(cost(stage.step.graph).peakBytes)
      const fits = whatFits(e, stage, limit)
      const what = fits.length === 0 ? 'nothing was found that fits but a smaller network' : fits.join(', or ')
      return { ...error, hint: `a step takes about ${bytes}; within ${shownBytes(limit)}: ${what}` }
    })(errors)
