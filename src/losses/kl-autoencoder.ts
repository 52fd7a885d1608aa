import { add, div, exp, mean, mul, type Operand, scalar, sum, type Tensor, zerosLike } from '../declare/index.ts'
import { type DiagonalGaussian, kl } from '../distributions/gaussian.ts'
import { pipe } from '../prelude.ts'
import { distance, type Loss } from './reconstruction.ts'

/** Weighs the parts of a KL autoencoder's loss. */
export interface KlAutoencoderObjective {
  readonly klWeight: number
  /** Of |x - x'|; default 1. */
  readonly l1?: number
  /** Of (x - x')^2; default 0, as in the reference. */
  readonly l2?: number
  /** Log-variance of the output, a scalar of the model; 0 where left out. */
  readonly logvar?: Tensor
}

/** Pictures, what was made of them, and the posterior that it was drawn from. */
export interface Reconstruction {
  readonly inputs: Tensor
  readonly reconstructions: Tensor
  readonly posterior: DiagonalGaussian
  /** A weighted perceptual distance of each picture, [N, 1, 1, 1]; it is added at every element. */
  readonly perceptual?: Tensor
  /** Weighs elements in the loss (not in `nll`); broadcast against the pictures. */
  readonly weights?: Operand
}

/** What an adversarial term needs besides: its adaptive weight compares gradients of `nll`. */
export interface KlAutoencoderLoss extends Loss<'total_loss' | 'logvar' | 'kl_loss' | 'nll_loss' | 'rec_loss'> {
  readonly nll: Tensor
}

/**
 * The negative ELBO of a KL autoencoder, the KL weighted: sums over everything, divided by the batch. `LPIPSWithDiscriminator` in
 * CompVis latent-diffusion, `ldm/modules/losses/contperceptual.py`, without its generator term, which adds to `loss`.
 */
export const klAutoencoderLoss =
  ({ klWeight, l1 = 1, l2 = 0, logvar = scalar(0) }: KlAutoencoderObjective) =>
  ({ inputs, reconstructions, posterior, perceptual, weights }: Reconstruction): KlAutoencoderLoss => {
    const distances = (
      [
        ['l1', l1],
        ['l2', l2],
      ] as const
    ).flatMap(([norm, weight]) => (weight === 0 ? [] : [pipe(reconstructions, distance(norm, inputs), mul(weight))]))
    const pixels = distances.length === 0 ? zerosLike(inputs) : distances.reduce((a, b) => pipe(a, add(b)))
    const error = perceptual === undefined ? pixels : pipe(pixels, add(perceptual))
    const surprise = pipe(error, div(exp(logvar)), add(logvar))
    const ofBatch = (x: Tensor): Tensor => pipe(x, sum(), mul(1 / (inputs.shape[0] ?? 1)))
    const nll = ofBatch(surprise)
    const divergence = ofBatch(kl()(posterior))
    const loss = pipe(
      weights === undefined ? nll : ofBatch(pipe(surprise, mul(weights))),
      add(pipe(divergence, mul(klWeight))),
    )
    return {
      loss,
      nll,
      log: { total_loss: loss, logvar, kl_loss: divergence, nll_loss: nll, rec_loss: mean()(error) },
    }
  }
