import {
  add,
  div,
  exp,
  freeze,
  input,
  mul,
  noise as noiseLeaf,
  scalar,
  sub,
  sumAll,
  type Tensor,
} from '../declare/index.ts'
import type { Denoiser } from '../diffusion/denoiser.ts'
import { type Ingredients, type Mixture, mix, recover } from '../diffusion/parameterization.ts'
import { type Checked, fail } from '../error.ts'
import type { Carry } from '../execute/executor.ts'
import type { Graph } from '../graph/graph.ts'
import { float, type Shape } from '../graph/types.ts'
import { pipe } from '../prelude.ts'
import { coefficientOf, type SamplingPlan, type Source, type Target, type Term } from './plan.ts'

/** Names of what the step graph is fed. */
export const leaves = {
  x: 'sampler/x',
  t: 'sampler/t',
  lift: 'sampler/lift',
  noise: 'sampler/noise',
  x0: 'sampler/x0',
  mask: 'sampler/mask',
  maskNoise: 'sampler/maskNoise',
} as const
/** The leaf that a factor is fed by. */
export const coefficientLeaf = (name: string): string => `sampler/coefficients/${name}`
/** The shares of signal and noise of the step at hand, for denoisers that need them. */
export const stepMixture = (): Mixture => ({
  alpha: input(coefficientLeaf('alpha'), float()),
  sigma: input(coefficientLeaf('sigma'), float()),
})
const memoryLeaf = (place: number): string => `sampler/m${place}`

const places = ({ memory }: SamplingPlan): readonly number[] => Array.from({ length: memory }, (_, i) => i)
/** The leaves of the memory. */
export const memoryLeaves = (plan: SamplingPlan): readonly string[] => places(plan).map(memoryLeaf)
/** What a step hands to the next. */
export const carryOf = (plan: SamplingPlan): Carry => ({
  x: leaves.x,
  ...Object.fromEntries(places(plan).map((i) => [`m${i}`, memoryLeaf(i)])),
})

/** Keeps predictions of x_0 in a range. */
export type Keep = (x0: Tensor) => Tensor

/** How the graph of a step is made. */
export interface StepGraphOptions {
  /** The shape of x, batch first. */
  readonly shape: Shape
  /** Keeps a known picture `sampler/x0` where `sampler/mask`, [N, 1, ...], is 1. */
  readonly inpaint?: boolean
  /** Where predictions of x_0 are kept; anywhere where left out. */
  readonly keep?: Keep
  /** What each step also gives: the x_0 that it predicts, x as the network saw it, what the network said. */
  readonly watch?: readonly Watched[]
  /** What else each step gives, of x as the network saw it and its time. */
  readonly shows?: (x: Tensor, t: Tensor) => Readonly<Record<string, Tensor>>
}
/** What a step can give beside x: the x_0 that it predicts, x as the network saw it, what the network said. */
export type Watched = 'predX0' | 'seen' | 'said'

/** What is known of a picture: kept where the mask is 1, as a sample of q(x_t | x_0). */
const imposer = (plan: SamplingPlan, mixture: Mixture, { shape, inpaint = false }: StepGraphOptions) => {
  const known = {
    x0: input(leaves.x0, float(...shape)),
    mask: input(leaves.mask, float(...shape.map((d, i) => (i === 1 ? 1 : d)))),
    noise: noiseLeaf(leaves.maskNoise, shape),
  }
  const impose = (x: Tensor): Tensor =>
    pipe(
      mix(mixture, { x0: known.x0, eps: known.noise }),
      mul(known.mask),
      add(pipe(scalar(1), sub(known.mask), mul(x))),
    )
  return (when: 'before' | 'after', x: Tensor): Tensor => (inpaint && plan.sampler.imposes === when ? impose(x) : x)
}

/** x_0 and eps as the sampler is to take them. */
const kept = (
  plan: SamplingPlan,
  mixture: Mixture,
  keep: Keep | undefined,
  x: Tensor,
  said: Ingredients,
): Ingredients => {
  if (keep === undefined) return said
  const x0 = keep(said.x0)
  return plan.sampler.clippedEps === 'own'
    ? { x0, eps: said.eps }
    : { x0, eps: pipe(x, sub(pipe(x0, mul(mixture.alpha))), div(mixture.sigma)) }
}

/** Noise of the standard deviation that the network chose between two, each given by its logarithm. */
const learnedNoise = (fraction: Tensor, coefficient: (name: string) => Tensor, noise: Tensor): Tensor => {
  const [least, most] = [coefficient('least'), coefficient('most')]
  return pipe(fraction, mul(pipe(most, sub(least))), add(least), exp, mul(noise))
}

/** A target as the sum of its terms. */
const made = (
  target: Target,
  terms: readonly Term[],
  at: (source: Source) => Tensor,
  coefficient: (name: string) => Tensor,
): Tensor =>
  sumAll(
    ...terms
      .filter((term) => term.target === target)
      .map((term) =>
        term.factor === 1
          ? at(term.source)
          : pipe(at(term.source), mul(term.factor === 'own' ? coefficient(coefficientOf(term)) : term.factor)),
      ),
  )

/**
 * One step of a plan as a graph, the same for all steps: outputs `x`, the memory `m0`, `m1`, ..., and what is watched.
 * Errors: shapes that do not fit, and (`config`) a plan for a learnt variance over a network that learnt none.
 */
export const stepGraph = (plan: SamplingPlan, denoise: Denoiser, options: StepGraphOptions): Checked<Graph> => {
  const { shape, keep, watch = [] } = options
  if (plan.uses.learned && denoise.variance === undefined)
    return fail(
      'config',
      '/variance',
      'a network that learnt its variance',
      `one that predicts ${denoise.predicts} alone`,
    )
  const scalars = new Map<string, Tensor>()
  const coefficient = (name: string): Tensor => {
    const leaf = scalars.get(name) ?? input(coefficientLeaf(name), float())
    scalars.set(name, leaf)
    return leaf
  }
  const mixture = { alpha: coefficient('alpha'), sigma: coefficient('sigma') }
  const t = input(leaves.t, float(...shape.slice(0, 1)))
  const imposed = imposer(plan, mixture, options)
  const carried = imposed('before', input(leaves.x, float(...shape)))
  const x = plan.uses.lift
    ? pipe(carried, mul(coefficient('kept')), add(pipe(noiseLeaf(leaves.lift, shape), mul(coefficient('lift')))))
    : carried
  const said = denoise(x, t)
  const { x0, eps } = kept(plan, mixture, keep, x, recover(denoise.predicts, mixture, x, said))
  const drawn = noiseLeaf(leaves.noise, shape)
  const now: Readonly<Partial<Record<Source, Tensor>>> = {
    x,
    x0,
    eps,
    noise:
      plan.uses.learned && denoise.variance !== undefined
        ? learnedNoise(denoise.variance(x, t), coefficient, drawn)
        : drawn,
  }
  const at = (source: Source): Tensor => now[source] ?? input(`sampler/${source}`, float(...shape))
  return freeze({
    x: imposed('after', made('x', plan.terms, at, coefficient)),
    ...Object.fromEntries(places(plan).map((i) => [`m${i}`, made(`m${i}`, plan.terms, at, coefficient)])),
    ...Object.fromEntries(watch.map((name) => [name, { predX0: x0, seen: x, said }[name]])),
    ...options.shows?.(x, t),
  })
}

/** Whether a graph was built for a plan of the same terms. */
export const sameTerms = (a: SamplingPlan, b: SamplingPlan): boolean =>
  JSON.stringify([a.terms, a.memory, a.uses]) === JSON.stringify([b.terms, b.memory, b.uses])
