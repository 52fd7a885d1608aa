import { unetConfig } from '../nn/unet/config.ts'
import {
  about,
  type Decoded,
  describedRecord,
  describedTagged,
  flag,
  number,
  withDefault,
  withOwnDefaults,
  word,
} from '../schema.ts'
import { adapter } from './adapter.ts'
import { autoencoders, type FirstStage } from './autoencoders.ts'
import { conditioning } from './conditioning.ts'
import { data, environment, name } from './environment.ts'
import { objectiveFields, optionalObjectiveFields } from './objective.ts'
import { own } from './own-fields.ts'
import { sampling } from './sampling.ts'
import { noiseSchedule } from './schedule.ts'
import { training } from './training.ts'

export { type Adversarial, adversarial, type FirstStage, firstStage, type Quantizer } from './autoencoders.ts'
export { dataSource } from './data-source.ts'
export { effectiveBatch, type Training, training } from './training.ts'

/**
 * An experiment as a document: what `experiment.json` holds. Every field is checked, unknown keys are refused, and
 * the decoded document has every default filled in.
 */

const pictureSpace = describedTagged('kind', {
  ...autoencoders,
  identity: about(
    'No first stage: pictures are the latents (Ho et al. 2020), which costs most where they are large.',
    describedRecord(
      {},
      {
        clip: about(
          'Whether predictions of x_0 are kept in [-1, 1] while sampling [clip_denoised].',
          withDefault(flag, true),
        ),
      },
    ),
  ),
})

const latentScale = describedTagged('kind', {
  measured: about(
    '1 / the standard deviation of the latents of a batch, so that they are as wide as the noise.',
    describedRecord({}),
  ),
  fixed: about(
    'A number that is given, such as that of a published model.',
    describedRecord({
      value: about(
        'What latents are multiplied by: 0.18215 in Stable Diffusion.',
        number({ min: 1e-6, max: 1e6 }),
        0.18215,
      ),
    }),
  ),
})
export type LatentScale = Decoded<typeof latentScale>

export const diffusion = describedRecord(
  {
    schedule: about('How data turn into noise.', noiseSchedule),
    unet: about('The U-Net that learns to take the noise away.', unetConfig),
    training: about('How the U-Net is trained.', training),
  },
  {
    ...objectiveFields,
    conditioning: about(
      'What the U-Net is told of each picture, and so what can be asked for when sampling.',
      withDefault(conditioning, { kind: 'none' }),
      { kind: 'class' },
    ),
    latents: about(
      'Of a quantised first stage, which latents diffusion is on: those before they are quantised (VQModelInterface), or the vectors of their codes.',
      withDefault(word(['unquantised', 'quantised']), 'unquantised'),
    ),
  },
  {
    latentScale: about(
      'What latents are multiplied by before noise is added. Where left out, measured of an autoencoder, and 1 of pictures.',
      latentScale,
    ),
    ...optionalObjectiveFields,
    adapter: about(
      'What is trained beside the U-Net of another run, whose weights stay as they are; so do first stage and conditioner.',
      adapter,
    ),
  },
)
export type Diffusion = Decoded<typeof diffusion>

/** The codec of an experiment's file: each field with its meaning, range, default and example. */
export const experiment = describedRecord(
  {
    name,
    data,
    firstStage: about('What makes latents of pictures, and pictures of latents; trained first.', pictureSpace),
  },
  {
    ...environment,
    sampling: about(
      'How pictures are drawn: previews, samples of the report, and where a command line says no other.',
      withOwnDefaults(sampling),
    ),
  },
  {
    diffusion: about(
      'The diffusion model on the latents, trained second; the first stage alone is trained where left out.',
      diffusion,
    ),
    own,
  },
)
/** An experiment, every default filled in. */
export type Experiment = Decoded<typeof experiment>

/** The first stage that an experiment trains; undefined where diffusion is on pictures themselves. */
export const autoencoderOf = ({ firstStage }: Experiment): FirstStage | undefined =>
  firstStage.kind === 'identity' ? undefined : firstStage
