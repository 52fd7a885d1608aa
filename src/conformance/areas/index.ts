import type { Area } from '../plan.ts'
import { attention } from './attention.ts'
import { autoencoder } from './autoencoder.ts'
import { checkpoint } from './checkpoint.ts'
import { conditioning } from './conditioning.ts'
import { diffusion } from './diffusion.ts'
import { discriminatorArea } from './discriminator.ts'
import { distribution } from './distribution.ts'
import { lossArea } from './loss.ts'
import { lpipsArea } from './lpips.ts'
import { pipelinesArea } from './pipelines/index.ts'
import { quantizeArea } from './quantize.ts'
import { sampler } from './sampler/index.ts'
import { schedule } from './schedule.ts'
import { training } from './training.ts'
import { unetArea } from './unet.ts'

/** Every area of fixtures, by the name of its folder. */
export const areas: Readonly<Record<string, Area>> = {
  attention,
  autoencoder,
  checkpoint,
  conditioning,
  diffusion,
  discriminator: discriminatorArea,
  distribution,
  loss: lossArea,
  lpips: lpipsArea,
  pipelines: pipelinesArea,
  quantize: quantizeArea,
  sampler,
  schedule,
  training,
  unet: unetArea,
}
