import type { Checked } from '../error.ts'
import { diffusionLoss, type LatentDiffusion, latentDiffusion } from '../experiment/diffusion-stage.ts'
import type { Experiment } from '../experiment/document.ts'
import { firstStageLoss, latentShape } from '../experiment/first-stage.ts'
import { parameters } from '../graph/graph.ts'
import type { Shape } from '../graph/types.ts'
import { E, pipe } from '../prelude.ts'
import { groupOf } from './state.ts'
import { type StepPlan, trainingStep } from './step.ts'

/** Parameters are grouped as published checkpoints group them: an autoencoder on its own is the `model`. */
export type Section = 'model' | 'first_stage' | 'unet'

export interface StagePlan {
  readonly name: 'first-stage' | 'diffusion'
  readonly section: Section
  readonly step: StepPlan
}
export interface Plan {
  readonly firstStage: StagePlan
  readonly diffusion?: StagePlan & { readonly model: LatentDiffusion }
}

/** Everything an experiment declares, as graphs; nothing has run. */
export const planExperiment = (e: Experiment, classes: number): Checked<Plan> =>
  pipe(
    E.Do,
    E.bind('step', () =>
      trainingStep(firstStageLoss(e.firstStage, e.firstStage.training.batchSize), e.firstStage.training),
    ),
    E.let(
      'firstStage',
      ({ step }): StagePlan => ({
        name: 'first-stage',
        section: e.diffusion === undefined ? 'model' : 'first_stage',
        step,
      }),
    ),
    E.bind('diffusion', () => planDiffusion(e, classes)),
    E.map(({ firstStage, diffusion }) => (diffusion === undefined ? { firstStage } : { firstStage, diffusion })),
  )

const planDiffusion = (e: Experiment, classes: number): Checked<Plan['diffusion']> => {
  const config = e.diffusion
  if (config === undefined) return E.right(undefined)
  return pipe(
    E.Do,
    E.bind('model', () => latentDiffusion(config, latentShape(e.firstStage.network), classes)),
    E.bind('step', ({ model }) => trainingStep(diffusionLoss(model, config.training.batchSize), config.training)),
    E.map(({ model, step }) => ({ name: 'diffusion', section: 'unet', step, model })),
  )
}

export const stagesOf = ({ firstStage, diffusion }: Plan): readonly StagePlan[] =>
  diffusion === undefined ? [firstStage] : [firstStage, diffusion]

/** The model's own parameters, without the optimiser's and the average's arrays and without what the loop sets. */
export const modelParameters = (
  stage: StagePlan,
): readonly { readonly name: string; readonly shape: Shape; readonly trainable: boolean }[] =>
  parameters(stage.step.declared)
    .filter(({ name, trainable }) => groupOf(name)[0] === 'parameters' && (trainable || name !== 'scale_factor'))
    .map(({ name, shape, trainable }) => ({ name, shape, trainable }))
