import { claims, freeze, input, noise, type Tensor } from '../declare/index.ts'
import { diagonalGaussian, mode, sample } from '../distributions/gaussian.ts'
import type { Checked } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { float } from '../graph/types.ts'
import { klAutoencoderLoss, type Loss } from '../losses/index.ts'
import { decode, encode } from '../nn/autoencoder/autoencoder.ts'
import type { AutoencoderConfig } from '../nn/autoencoder/config.ts'
import { E, pipe } from '../prelude.ts'
import { optimise } from '../transform/index.ts'
import type { FirstStage } from './document.ts'

/** The graphs of a first stage: its loss, and what is asked of it once it is trained. */

/** Leaves of the first stage's graphs. */
export const firstStageLeaves = { pixels: 'pixels', moments: 'moments', latents: 'latents' } as const

const pixels = (c: AutoencoderConfig, batch: number): Tensor =>
  input(firstStageLeaves.pixels, float(batch, c.inChannels, c.resolution, c.resolution), 'pixels in [-1, 1]')

/** Channels, height and width of the latents. */
export const latentShape = (c: AutoencoderConfig): readonly [number, number, number] => {
  const side = c.resolution / 2 ** (c.channelMultipliers.length - 1)
  return [c.latentChannels, side, side]
}

/** Reconstruction and KL of a batch of pictures: `AutoencoderKL.training_step` without its discriminator. */
export const firstStageLoss = ({ network, loss: { pixel, klWeight } }: FirstStage, batch: number): Loss => {
  const inputs = pixels(network, batch)
  const posterior = pipe(inputs, encode('', network, { training: true }), diagonalGaussian)
  const latents = pipe(posterior, sample(noise('posterior', posterior.mean.shape)), claims('raw latents'))
  const reconstructions = pipe(latents, decode('', network, { training: true }))
  const weigh = { l1: { l1: 1, l2: 0 }, l2: { l1: 0, l2: 1 } }[pixel]
  return klAutoencoderLoss({ klWeight, ...weigh })({ inputs, reconstructions, posterior })
}

const frozen = (outputs: Readonly<Record<string, Tensor>>): Checked<Graph> => pipe(freeze(outputs), E.map(optimise))

/** pixels -> moments, the posterior's mean and log-variance */
export const encoderGraph = (c: AutoencoderConfig, batch: number): Checked<Graph> =>
  frozen({ moments: pipe(pixels(c, batch), encode('', c)) })

/** latents -> pixels */
export const decoderGraph = (c: AutoencoderConfig, batch: number): Checked<Graph> =>
  frozen({
    pixels: pipe(input(firstStageLeaves.latents, float(batch, ...latentShape(c)), 'raw latents'), decode('', c)),
  })

/** pixels -> pixels, through the posterior's mode */
export const reconstructionGraph = (c: AutoencoderConfig, batch: number): Checked<Graph> =>
  frozen({ pixels: pipe(pixels(c, batch), encode('', c), diagonalGaussian, mode, decode('', c)) })
