import { diffusionLaws } from './diffusion.ts'
import { distributionLaws } from './distributions.ts'
import type { Law } from './law.ts'
import { lossLaws } from './losses.ts'
import { librarySamplerLaws } from './samplers.ts'

export * from './diffusion.ts'
export * from './distributions.ts'
export * from './law.ts'
export * from './losses.ts'
export * from './samplers.ts'

/** The laws this library holds itself to, by area. */
export const laws: Readonly<Record<'distributions' | 'diffusion' | 'losses' | 'samplers', readonly Law[]>> = {
  distributions: distributionLaws,
  diffusion: diffusionLaws,
  losses: lossLaws,
  samplers: librarySamplerLaws,
}
