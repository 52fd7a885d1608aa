import { heldOutOf } from '../data/dataset.ts'
import { mostPixels } from '../io/pictures.ts'
import { conditionerOf, tells } from './conditioning.ts'
import { autoencoderOf, type Experiment, effectiveBatch } from './document.ts'
import { type Problems, problem, setting, unless } from './problems.ts'
import { diffusedOf, spaceOf } from './space.ts'

/** Rules between an experiment and the pictures that its data turned out to be. */

/** Some pictures are held out, and others are left to train on. */
export const heldOutRule = ({ data }: Experiment, pictures: number): Problems =>
  pictures < 2
    ? [problem('path' in data ? data.path : '/data', 'at least 2 pictures, as one is held out', `${pictures}`)]
    : data.heldOut === undefined
      ? []
      : unless(
          data.heldOut < pictures,
          '/data/heldOut',
          `fewer than the ${pictures} pictures there are`,
          data.heldOut,
          `${setting({ '/data/heldOut': heldOutOf(pictures) })}, as where it is left out`,
        )

/** How large pictures are shown: small ones twice as large as they are. */
export const shownScale = (side: number): number => (side < 256 ? 2 : 1)

const cell = (side: number): number => (shownScale(side) * side + 2) ** 2
/** How many pictures of a size are drawn side by side. */
const mostPictures = (side: number): number => Math.floor(mostPixels / cell(side))

/** Samples are shown in one picture, with gaps between them: a row a class, or what is told, what is drawn and what is true. */
const gridRule = (e: Experiment, classes: number): Problems => {
  const { data, diffusion, sampling } = e
  const told = diffusion && conditionerOf(diffusion.conditioning, spaceOf(diffusedOf(e), classes)).pictures
  const rows = told === undefined ? Math.max(1, classes) : 3
  const most = Math.floor(mostPictures(data.size) / rows)
  const at = '/sampling/perClass'
  return diffusion === undefined
    ? []
    : unless(
        sampling.perClass <= most,
        at,
        `at most ${most}, as ${rows} rows of pictures of ${data.size} pixels are drawn side by side`,
        sampling.perClass,
        most === 0 ? undefined : setting({ [at]: most }),
      )
}

/** What is conditioned on classes needs some. */
export const classRules = (experiment: Experiment, classes: number): Problems => {
  const { diffusion } = experiment
  return [
    ...unless(
      classes > 0 || !tells('class', diffusion?.conditioning),
      '/diffusion/conditioning/kind',
      '"none", as the pictures have no classes',
      'class',
      setting({ '/diffusion/conditioning': { kind: 'none' }, '/sampling/guidance': 1 }),
    ),
    ...unless(
      classes > 0 || autoencoderOf(experiment)?.adversarial?.condition?.kind !== 'class',
      '/firstStage/adversarial/condition',
      'pictures with classes, or no condition',
      'none have a class',
    ),
    ...gridRule(experiment, classes),
  ]
}

/** What is odd about so many pictures to train on, a sentence each; nothing that keeps a run from going on. */
export const dataNotes = (e: Experiment, pictures: number): readonly string[] => {
  const firstStage = autoencoderOf(e)
  const trainings = { firstStage: firstStage?.training, diffusion: e.diffusion?.training }
  return [
    ...Object.entries(trainings).flatMap(([stage, training]) =>
      training !== undefined && effectiveBatch(training) > pictures
        ? [
            `/${stage}/training/batchSize: a ${training.accumulate === 1 ? 'batch' : 'step'} of ${effectiveBatch(training)} has each of the ${pictures} pictures to train on more than once`,
          ]
        : [],
    ),
    ...(firstStage !== undefined && e.diffusion?.training.flip === true
      ? ['/diffusion/training/flip: has no effect, as the first stage encodes each picture once, as it is']
      : []),
  ]
}
