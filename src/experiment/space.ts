import type { Shape } from '../graph/types.ts'
import type { Space } from './conditioning.ts'
import type { Experiment, FirstStage, LatentScale } from './document.ts'
import { encodedShape, latentShape, partEncoder } from './first-stage.ts'

/** What diffusion is on: the latents of an autoencoder, or pictures as they are. */

/** Pictures [C, H, W] in the place of latents. */
export type PixelSpace = Extract<Experiment['firstStage'], { readonly kind: 'identity' }> & { readonly picture: Shape }
export type Diffused = FirstStage | PixelSpace

/** Red, green, blue. */
export const colours = 3
/** Channels of the pictures. */
export const channelsOf = ({ data }: Experiment): number => (data.kind === 'segmentation' ? data.labels : colours)

export const diffusedOf = (e: Experiment): Diffused =>
  e.firstStage.kind === 'identity'
    ? { ...e.firstStage, picture: [channelsOf(e), e.data.size, e.data.size] }
    : e.firstStage

export const spaceOf = (on: Diffused, classes: number): Space => {
  if (on.kind === 'identity') return { latent: on.picture, picture: on.picture, classes }
  const { inChannels, resolution } = on.network
  return {
    latent: latentShape(on.network),
    picture: [inChannels, resolution, resolution],
    classes,
    encode: partEncoder(on),
  }
}

/** What a picture is encoded to. */
export const encodedShapeOf = (on: Diffused): Shape => (on.kind === 'identity' ? on.picture : encodedShape(on))

/** What latents are multiplied by: pictures lie in [-1, 1] already. */
export const latentScaleOf = ({ firstStage, diffusion }: Experiment): LatentScale =>
  diffusion?.latentScale ?? (firstStage.kind === 'identity' ? { kind: 'fixed', value: 1 } : { kind: 'measured' })
