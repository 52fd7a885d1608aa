import { adversarialLaws } from './adversarial.ts'
import { denoisingLaws } from './denoising.ts'
import { diffusionLaws } from './diffusion.ts'
import { distributionLaws } from './distributions.ts'
import { firstStageLaws } from './first-stage.ts'
import type { Law } from './law.ts'
import { lossLaws } from './losses.ts'
import { optimizerLaws } from './optimizers.ts'
import { librarySamplerLaws } from './samplers.ts'

export * from './adversarial.ts'
export * from './beginnings.ts'
export * from './denoising.ts'
export * from './diffusion.ts'
export * from './distributions.ts'
export * from './first-stage.ts'
export * from './guidance.ts'
export * from './law.ts'
export * from './losses.ts'
export * from './optimizers.ts'
export * from './samplers.ts'

/** The laws this library holds itself to, by area. */
export const laws: Readonly<
  Record<
    'distributions' | 'diffusion' | 'denoising' | 'losses' | 'samplers' | 'adversarial' | 'firstStage' | 'optimizers',
    readonly Law[]
  >
> = {
  distributions: distributionLaws,
  diffusion: diffusionLaws,
  denoising: denoisingLaws,
  losses: lossLaws,
  samplers: librarySamplerLaws,
  adversarial: adversarialLaws,
  firstStage: firstStageLaws,
  optimizers: optimizerLaws,
}
