import { add, freeze, input, mul, noise as noiseLeaf, scalar, sub, type Tensor } from '../declare/index.ts'
import type { Denoiser } from '../diffusion/denoiser.ts'
import { type Mixture, mix } from '../diffusion/parameterization.ts'
import type { Checked } from '../error.ts'
import type { Graph } from '../graph/graph.ts'
import { float, int, type Shape } from '../graph/types.ts'
import { pipe, RR } from '../prelude.ts'
import type { Sampler } from './sampler.ts'

/** Names of what the step graph is fed. */
export const leaves = {
  x: 'sampler/x',
  t: 'sampler/t',
  noise: 'sampler/noise',
  x0: 'sampler/x0',
  mask: 'sampler/mask',
  maskNoise: 'sampler/maskNoise',
} as const
export const coefficientLeaf = <C extends string>(c: C): `sampler/coefficients/${C}` => `sampler/coefficients/${c}`

const coefficientInputs = <C extends string>(names: readonly C[]): Readonly<Record<C, Tensor>> =>
  RR.fromEntries(names.map((c): [C, Tensor] => [c, input(coefficientLeaf(c), float())]))

/** A known picture that is kept where the mask is 1. */
interface Known {
  readonly x0: Tensor
  readonly mask: Tensor
  readonly noise: Tensor
}

/** A sample of q(x_t | x_0) where the mask is 1, x elsewhere. */
const impose = (mixture: Mixture, { x0, mask, noise }: Known, x: Tensor): Tensor =>
  pipe(mix(mixture, { x0, eps: noise }), mul(mask), add(pipe(scalar(1), sub(mask), mul(x))))

export interface StepGraphOptions {
  /** The shape of x, batch first. */
  readonly shape: Shape
  /** Keeps a known picture `sampler/x0` where `sampler/mask`, [N, 1, ...], is 1. */
  readonly inpaint?: boolean
}

/** One step of a sampler as a graph with the outputs `x` and `predX0`. */
export const stepGraph = <C extends string>(
  sampler: Sampler<C>,
  denoise: Denoiser,
  { shape, inpaint = false }: StepGraphOptions,
): Checked<Graph> => {
  const batch = shape.slice(0, 1)
  const coefficients = coefficientInputs(sampler.coefficients)
  const x = input(leaves.x, float(...shape))
  const known = {
    x0: input(leaves.x0, float(...shape)),
    mask: input(leaves.mask, float(...batch, ...shape.slice(1).map((d, i) => (i === 0 ? 1 : d)))),
    noise: noiseLeaf(leaves.maskNoise, shape),
  }
  const withKnown = (when: 'before' | 'after', y: Tensor): Tensor =>
    inpaint && sampler.imposes === when ? impose(coefficients, known, y) : y
  const { x: next, predX0 } = sampler.step(denoise, {
    xt: withKnown('before', x),
    t: input(leaves.t, int(...batch)),
    coefficients,
    noise: noiseLeaf(leaves.noise, shape),
  })
  return freeze({ x: withKnown('after', next), predX0 })
}
