import { type Area, later } from '../plan.ts'
import { attention } from './attention.ts'
import { autoencoder } from './autoencoder.ts'
import { checkpoint } from './checkpoint.ts'
import { diffusion } from './diffusion.ts'
import { distribution } from './distribution.ts'
import { sampler } from './sampler.ts'
import { schedule } from './schedule.ts'
import { training } from './training.ts'
import { unetArea } from './unet.ts'

/** Every area of fixtures, by the name of its folder. */
export const areas: Readonly<Record<string, Area>> = {
  attention,
  autoencoder,
  checkpoint,
  conditioning: later('conditioning networks: later issue'),
  diffusion,
  discriminator: later('discriminators: later issue'),
  distribution,
  loss: later('adversarial losses: later issue'),
  lpips: later('LPIPS: later issue'),
  quantize: later('quantisers: later issue'),
  sampler,
  schedule,
  training,
  unet: unetArea,
}
