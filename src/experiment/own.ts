import type { OwnPicture } from '../data/own.ts'
import type { Tensor } from '../declare/index.ts'
import type { Sampler } from '../samplers/index.ts'
import type { Told } from './conditioning.ts'
import type { Experiment } from './document.ts'
import { ownParts } from './own-fields.ts'
import { type Problems, problem, unless } from './problems.ts'

/** Parts of an experiment that a program gives as functions. */

/**
 * What the network says of x_t. `x` [N, C, h, w] has, behind the latents, the channels of a condition that lies beside them; `t` [N] are times;
 * told is what the condition gives: `y`, classes as int32[N] or a vector, and `context` [N, n, width]. It says as many channels as the latents
 * have, twice as many with a learnt variance.
 */
export type OwnNetwork = (
  x: Tensor,
  t: Tensor,
  told: Pick<Told, 'y' | 'context'>,
  options: { readonly training: boolean },
) => Tensor

/** The error of a prediction, number by number. */
export type OwnLoss = (target: Tensor) => (prediction: Tensor) => Tensor

/** The pictures of a size; those of another are cut and resized. */
export type OwnData = (options: { readonly size: number }) => readonly OwnPicture[] | Promise<readonly OwnPicture[]>

/** The functions of an experiment that has some. */
export interface Own {
  readonly data?: OwnData
  readonly unet?: OwnNetwork
  readonly loss?: OwnLoss
  readonly sampler?: Sampler
}

export const ownHint =
  'in a program: train(definition), or loadRun(folder, { definition }), with what defineExperiment gave'

/** What graphs are made of; pictures are asked for where they are read. */
const inGraphs = ownParts.filter((part) => part !== 'data')

/** The functions are there that the document says, and no others. */
export const ownRule = ({ own, diffusion }: Experiment, given: Own): Problems => [
  ...inGraphs.flatMap((part) => {
    const [wanted, there] = [own?.functions.includes(part) === true, given[part] !== undefined]
    return wanted === there
      ? []
      : [
          problem(
            '/own/functions',
            wanted
              ? `the ${part} of the program that defined ${own?.name}, version ${own?.version}`
              : `"${part}" among them`,
            wanted ? 'none' : 'a function',
            ownHint,
          ),
        ]
  }),
  ...unless(
    given.unet === undefined || diffusion?.adapter === undefined,
    '/diffusion/adapter',
    'none beside a network of the program, as adapters are of U-Nets',
    diffusion?.adapter?.kind,
  ),
]
