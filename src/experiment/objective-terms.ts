import { add, mul, noise, type Tensor } from '../declare/index.ts'
import {
  type Decoder,
  type DenoisingBatch,
  type DenoisingObjective,
  fixedLogvar,
  learnedLogvar,
  objectiveDefaults,
} from '../diffusion/index.ts'
import { distance, pseudoHuber } from '../losses/index.ts'
import { pipe } from '../prelude.ts'
import type { Diffusion } from './document.ts'
import type { Objective } from './objective.ts'

/** The expressions of a declared objective. */

const distanceOf = ({ loss, huberScale = objectiveDefaults.huberScale }: Objective) => {
  return (target: Tensor) => (loss === 'pseudo-huber' ? pseudoHuber(huberScale, target) : distance(loss, target))
}

const logvarOf = ({ logvar: { learned, initial }, schedule: { timesteps } }: Diffusion): Tensor | undefined =>
  learned ? learnedLogvar('', timesteps, initial) : initial === 0 ? undefined : fixedLogvar(timesteps, initial)

/** The decoder is what the last step is measured by. */
export const denoisingObjective = (config: Diffusion, decoder: Decoder): DenoisingObjective => {
  const logvar = logvarOf(config)
  const { weighting, elboWeight, variance } = config
  return {
    distance: distanceOf(config),
    weighting,
    vlbWeight: elboWeight,
    ...(logvar === undefined ? {} : { logvar }),
    ...(variance.kind === 'learned' ? { variance: { weight: variance.weight, decoder } } : {}),
  }
}

/** The noise to predict, and what is mixed in where it is another. */
export const noiseOf = (
  { noise: { offset, perturbation } }: Objective,
  x0: Tensor,
): Pick<DenoisingBatch, 'eps' | 'mixed'> => {
  const [n = 1, channels = 1, ...positions] = x0.shape
  const plain = noise('eps', x0.shape)
  const eps =
    offset === 0
      ? plain
      : pipe(plain, add(pipe(noise('offset', [n, channels, ...positions.map(() => 1)]), mul(offset))))
  return perturbation === 0
    ? { eps }
    : { eps, mixed: pipe(eps, add(pipe(noise('perturbation', x0.shape), mul(perturbation)))) }
}
