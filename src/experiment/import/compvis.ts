import type { Checked } from '../../error.ts'
import { E, flow, pipe, RR } from '../../prelude.ts'
import { rescalerOf } from '../../published/compvis/conditioning.ts'
import { firstStages } from '../../published/compvis/first-stage.ts'
import {
  type ConditioningPart,
  diffusionModels,
  type OriginalModel,
  originalModel,
} from '../../published/compvis/model.ts'
import { byTarget, isObject, type Json, type Reader } from '../../published/compvis/reader.ts'
import type { ConditioningStage, PublishedModel } from '../../published/document.ts'

/** Configurations of latent diffusion's original code, `target` by `target`, as published models. */

const stageOf = (parts: readonly ConditioningPart[]): ConditioningStage | undefined => {
  const [part, ...rest] = parts.filter(({ encoder }) => encoder.kind !== 'first-stage')
  if (part === undefined) return undefined
  const { encoder } = part
  return rest.length > 0
    ? { kind: 'notBuilt', target: parts.map(({ target }) => target).join(', ') }
    : encoder.kind === 'classes'
      ? { kind: 'classes', classes: encoder.entries, dim: encoder.dim }
      : encoder.kind === 'identity'
        ? { kind: 'identity' }
        : encoder.kind === 'rescaler'
          ? { kind: 'rescaler', inChannels: encoder.inChannels, rescaler: rescalerOf(encoder) }
          : { kind: 'notBuilt', target: part.target }
}

const published = ({ firstStage, unet, conditioning, controlNet }: OriginalModel): PublishedModel => {
  const stage = stageOf(conditioning)
  return {
    ...firstStage,
    unet,
    ...(stage === undefined ? {} : { conditioning: stage }),
    ...(controlNet === undefined ? {} : { controlNet: controlNet.network }),
  }
}

const model = byTarget<PublishedModel>({
  ...firstStages,
  ...RR.map((read: Reader<OriginalModel>): Reader<PublishedModel> => flow(read, E.map(published)))(diffusionModels),
})

/** Whether a document is such a configuration, with its `model` or as the model itself. */
export const isCompVis = (document: unknown): document is Json =>
  isObject(document) && (isObject(document.model) || typeof document.target === 'string')

/**
 * A configuration of CompVis' latent-diffusion as a published model: `{ model: { target, params }, ... }` or the model alone. What
 * concerns training and the noise process is checked for its names, and left out. Errors: `config`, each with its JSON pointer.
 */
export const importCompVis = (document: Json): Checked<PublishedModel> => {
  const [inner, base] = isObject(document.model) ? [document.model, '/model'] : [document, '']
  return typeof inner.target === 'string' ? model(inner, base) : pipe(originalModel(document), E.map(published))
}
