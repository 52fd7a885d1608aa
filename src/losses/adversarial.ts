import { add, div, mean, mul, neg, relu, softplus, square, sum, type Tensor } from '../declare/index.ts'
import { pipe } from '../prelude.ts'
import { grad } from '../transform/index.ts'
import { itemMean } from './reconstruction.ts'

/** What a discriminator makes of real pictures and of fakes. */
export interface Logits {
  readonly real: Tensor
  readonly fake: Tensor
}

/**
 * Losses of the discriminator: `hinge`, max(0, 1 - real) and max(0, 1 + fake) (Lim and Ye 2017, section 3), or `vanilla`,
 * -log sigmoid(real) and -log(1 - sigmoid(fake)) (Goodfellow et al. 2014, equation 1).
 */
export const adversarialKinds = ['hinge', 'vanilla'] as const
/** A loss of the discriminator, by name. */
export type AdversarialKind = (typeof adversarialKinds)[number]

/** Of a picture that is real; of a fake with its sign changed. */
const surprises: { readonly [K in AdversarialKind]: (logits: Tensor) => Tensor } = {
  hinge: (x) => pipe(neg(x), add(1), relu),
  vanilla: (x) => softplus(neg(x)),
}

const halved = (real: Tensor, fake: Tensor): Tensor => pipe(real, add(fake), mul(0.5))

/** `hinge_d_loss` and `vanilla_d_loss` of taming/modules/losses/vqperceptual.py. */
export const discriminatorLoss =
  (kind: AdversarialKind) =>
  ({ real, fake }: Logits): Tensor =>
    halved(mean()(surprises[kind](real)), mean()(surprises[kind](neg(fake))))

/** The same with a weight for each item, [N]: `hinge_d_loss_with_exemplar_weights` of ldm/modules/losses/vqperceptual.py. */
export const weighedDiscriminatorLoss =
  (kind: AdversarialKind, weights: Tensor) =>
  ({ real, fake }: Logits): Tensor => {
    const weighed = (logits: Tensor): Tensor =>
      pipe(surprises[kind](logits), itemMean, mul(weights), sum(), div(sum()(weights)))
    return halved(weighed(real), weighed(neg(fake)))
  }

/** -E[D(fake)], whatever the discriminator's loss. */
export const generatorLoss = (fake: Tensor): Tensor => pipe(fake, mean(), neg)

/**
 * E |dD(x)/dx|^2 over real pictures (Mescheder et al. 2018, equation 9): `logits` is made of `pictures`. The gradient of this is a
 * second derivative.
 */
export const r1Penalty = (logits: Tensor, pictures: Tensor): Tensor => {
  const [slope = logits] = grad(pipe(logits, sum()), [pictures])
  return pipe(slope, square, sum(), mul(1 / (pictures.shape[0] ?? 1)))
}
