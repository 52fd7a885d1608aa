import { about, type Decoded, describedRecord, number, withDefault, withOwnDefaults } from '../schema.ts'
import { adapter } from './adapter.ts'
import { type Diffusion, type Experiment, training } from './document.ts'
import { data, environment, name } from './environment.ts'
import { objectiveFields, optionalObjectiveFields } from './objective.ts'
import { sampling } from './sampling.ts'

/**
 * An experiment that says only what is trained beside a model that is there: the model itself is that of the folder which its adapter is
 * of. It stands for the whole experiment, as which it is run.
 */

const { loss, weighting, timestepSampling, noise } = objectiveFields
export const tuning = describedRecord(
  {
    name,
    data,
    adapter: about('What is trained beside the model, and which model that is.', adapter, {
      kind: 'lora',
      rank: 4,
      of: 'runs/sd15',
    }),
    training: about('How the adapter is trained.', training),
  },
  {
    ...environment,
    dropout: about(
      'How often the condition is left out in training; as the model was trained, often 0.1, so that guidance keeps its sense.',
      withDefault(number({ min: 0, max: 1 }), 0),
    ),
    objective: about(
      'What of the objective is other than the usual; the rest is as the model was trained.',
      withOwnDefaults(
        describedRecord(
          {},
          { loss, weighting, timestepSampling, noise },
          { huberScale: optionalObjectiveFields.huberScale },
        ),
      ),
    ),
  },
  {
    sampling: about("How pictures are drawn; as the model's own folder says where left out.", sampling),
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
/** What of the whole is the model's, and so is written nowhere else. */
const ofModel = /^\/(firstStage|diffusion)(?=\/|$)/
export const asWritten = (pointer: string): string | undefined => {
  const short = written.reduce((at, [whole, own]) => at.replace(whole, own), pointer)
  return ofModel.test(short) ? undefined : short
}
