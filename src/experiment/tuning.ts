import { executorNames } from '../execute/names.ts'
import { type Decoded, integer, nonEmpty, number, record, text, withDefault, withOwnDefaults, word } from '../schema.ts'
import { adapter } from './adapter.ts'
import { type Diffusion, dataSource, type Experiment, training } from './document.ts'
import { objectiveFields, optionalObjectiveFields } from './objective.ts'
import { sampling } from './sampling.ts'

/**
 * An experiment that says only what is trained beside a model that is there: the model itself is that of the folder which its adapter is
 * of. It stands for the whole experiment, as which it is run.
 */

const { loss, weighting, timestepSampling, noise } = objectiveFields
export const tuning = record(
  { name: nonEmpty, data: dataSource, adapter, training },
  {
    $schema: withDefault(text, ''),
    seed: withDefault(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), 0),
    executor: withDefault(word(['auto', ...executorNames]), 'auto'),
    /** How often the condition is left out in training. */
    dropout: withDefault(number({ min: 0, max: 1 }), 0),
    objective: withOwnDefaults(
      record({}, { loss, weighting, timestepSampling, noise }, { huberScale: optionalObjectiveFields.huberScale }),
    ),
  },
  {
    /** As the model's own where left out. */
    sampling,
  },
)
export type Tuning = Decoded<typeof tuning>

/** Whether a document is one of those. */
export const isTuning = (document: unknown): boolean =>
  typeof document === 'object' && document !== null && 'adapter' in document

/** What of an experiment is that of the model. */
export interface TunedModel {
  readonly firstStage: Experiment['firstStage']
  readonly diffusion: Pick<
    Diffusion,
    'unet' | 'conditioning' | 'schedule' | 'predicts' | 'variance' | 'latents' | 'latentScale'
  >
  readonly sampling: Experiment['sampling']
}

/** The whole experiment, not yet checked. */
export const tunedExperiment = (t: Tuning, model: TunedModel): Experiment => {
  const { objective, adapter: own, training: trained, dropout: _, sampling: drawn = model.sampling, ...rest } = t
  return {
    ...rest,
    firstStage: model.firstStage,
    sampling: drawn,
    diffusion: {
      ...model.diffusion,
      ...objective,
      elboWeight: objectiveFields.elboWeight.fallback,
      logvar: objectiveFields.logvar.fallback,
      training: trained,
      adapter: own,
    },
  }
}

/** Pointers into the whole experiment, and what stands for them in what a person has written. */
const written: readonly (readonly [RegExp, string])[] = [
  [/^\/diffusion\/(training|adapter)(?=\/|$)/, '/$1'],
  [/^\/diffusion\/(loss|weighting|timestepSampling|noise|huberScale)(?=\/|$)/, '/objective/$1'],
  [/^\/diffusion\/conditioning\/dropout$/, '/dropout'],
]
export const asWritten = (pointer: string): string =>
  written.reduce((at, [whole, short]) => at.replace(whole, short), pointer)
