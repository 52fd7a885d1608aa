import { add, mean, mul, scalar, type Tensor } from '../declare/index.ts'
import { codebookUsage } from '../nn/quantize.ts'
import { pipe } from '../prelude.ts'
import { distance, type Loss, type Norm } from './reconstruction.ts'

/** Those of the reference. */
export const vqAutoencoderDefaults = { norm: 'l1', codebookWeight: 1, perceptualWeight: 1 } as const

/** Weighs the parts of a quantised autoencoder's loss. */
export interface VqAutoencoderObjective {
  /** Default `l1`. */
  readonly norm?: Norm
  /** Default 1. */
  readonly codebookWeight?: number
  /** Default 1. */
  readonly perceptualWeight?: number
}

/** Pictures, what was made of them, and what their quantiser asks for. */
export interface VqReconstruction {
  readonly inputs: Tensor
  readonly reconstructions: Tensor
  /** The quantiser's loss, of any shape; its mean counts. None where left out. */
  readonly codebookLoss?: Tensor
  /** The perceptual distance of each picture, [N, 1, 1, 1]; none where left out. */
  readonly perceptual?: Tensor
  /** The codes chosen, and how many there are: their usage is logged. */
  readonly codes?: { readonly chosen: Tensor; readonly entries: number }
}

/** The loss, with what an adversarial term needs besides. */
export interface VqAutoencoderLoss extends Loss<'total_loss' | 'quant_loss' | 'nll_loss' | 'rec_loss' | 'p_loss'> {
  /** What an adaptive weight compares. */
  readonly nll: Tensor
}

/**
 * Mean error of the pixels, with perceptual distance and codebook loss; with codes, `perplexity` and `cluster_usage` are logged too.
 * `VQLPIPSWithDiscriminator` in CompVis latent-diffusion, `ldm/modules/losses/vqperceptual.py`, without its generator term,
 * which `generatorTurn` adds.
 */
export const vqAutoencoderLoss =
  (objective: VqAutoencoderObjective = {}) =>
  ({ inputs, reconstructions, codebookLoss, perceptual, codes }: VqReconstruction): VqAutoencoderLoss => {
    const { norm, codebookWeight, perceptualWeight } = { ...vqAutoencoderDefaults, ...objective }
    const pixels = pipe(reconstructions, distance(norm, inputs))
    const error = perceptual === undefined ? pixels : pipe(pixels, add(pipe(perceptual, mul(perceptualWeight))))
    const nll = mean()(error)
    const quantisation = codebookLoss === undefined ? scalar(0) : mean()(codebookLoss)
    const loss = pipe(nll, add(pipe(quantisation, mul(codebookWeight))))
    const usage = codes === undefined ? undefined : codebookUsage(codes.entries)(codes.chosen)
    return {
      loss,
      nll,
      log: {
        total_loss: loss,
        quant_loss: quantisation,
        nll_loss: nll,
        rec_loss: nll,
        p_loss: perceptual === undefined ? scalar(0) : mean()(perceptual),
        ...(usage === undefined ? {} : { perplexity: usage.perplexity, cluster_usage: usage.used }),
      },
    }
  }
