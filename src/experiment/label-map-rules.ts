import type { LabelMaps } from './conditioner.ts'
import { autoencoderOf, type Experiment } from './document.ts'
import { type Problems, setting, unless } from './problems.ts'

/** Rules about label maps, which a discriminator may see and diffusion may be told. */

/** The label maps of an experiment's pictures, whoever asks for them. */
export const labelMapsOf = (e: Experiment, told: LabelMaps | undefined): LabelMaps | undefined => {
  const condition = autoencoderOf(e)?.adversarial?.condition
  return told ?? (condition?.kind === 'label-map' ? condition : undefined)
}

/** Pictures have one label map each, and are none themselves. */
export const labelMapRules = (e: Experiment, told: LabelMaps | undefined): Problems => {
  const condition = autoencoderOf(e)?.adversarial?.condition
  const at = `/diffusion/conditioning${e.diffusion?.conditioning.kind === 'hybrid' ? '/beside' : ''}`
  if (told === undefined) return []
  return [
    ...unless(
      e.data.kind !== 'segmentation',
      `${at}/kind`,
      '"none", as the data are label maps themselves',
      'label-map',
    ),
    ...(condition?.kind === 'label-map'
      ? (['path', 'labels'] as const).flatMap((field) =>
          unless(
            condition[field] === told[field],
            `${at}/${field}`,
            `${condition[field]}, as /firstStage/adversarial/condition/${field}`,
            told[field],
            setting({ [`${at}/${field}`]: condition[field] }),
          ),
        )
      : []),
  ]
}
