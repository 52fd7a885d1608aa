import { constant, input, scalar, type Tensor } from '../declare/index.ts'
import { float } from '../graph/types.ts'
import type { Layer } from '../nn/layers.ts'
import {
  codebookEntries,
  gumbelEntries,
  gumbelNoise,
  gumbelQuantizer,
  type Quantized,
  vectorQuantizer,
} from '../nn/quantize.ts'
import { type Amendment, type Coded, restartDeadCodes } from '../optimizers/index.ts'
import type { Quantizer } from './document.ts'

/** The leaf of the Gumbel quantiser's temperature. */
export const temperatureLeaf = 'temperature'

const scope = 'quantize'
type Kinds = {
  readonly [K in Quantizer['kind']]: (
    q: Extract<Quantizer, { readonly kind: K }>,
    z: Tensor,
    given: { readonly training: boolean; readonly noise: string },
  ) => Quantized
}
const kinds: Kinds = {
  nearest: ({ entries, beta, weighs }, z) => vectorQuantizer(scope, { entries, dim: z.shape[1] ?? 0, beta, weighs })(z),
  gumbel: ({ entries, klWeight, hard }, z, { training, noise }) => {
    const [n = 0, dim = 0, ...positions] = z.shape
    const shape = [n, entries, ...positions]
    return gumbelQuantizer(scope, { entries, dim, klWeight, hard })(z, {
      noise: training ? gumbelNoise(noise, shape) : constant([0], float(...shape)),
      temperature: training ? input(temperatureLeaf, float()) : scalar(1),
      training,
    })
  },
}
const of = <K extends Quantizer['kind']>(
  kind: K,
  q: Extract<Quantizer, { readonly kind: K }>,
  ...more: [Tensor, { readonly training: boolean; readonly noise: string }]
): Quantized => kinds[kind](q, ...more)

/** Latents to vectors of the codebook, while training by chance where the quantiser is Gumbel's: drawn from `noise`. */
export const quantize =
  (q: Quantizer, given: { readonly training: boolean; readonly noise: string }) =>
  (z: Tensor): Quantized =>
    of(q.kind, q, z, given)

type Codebooks = {
  readonly [K in Quantizer['kind']]: (q: Extract<Quantizer, { readonly kind: K }>, dim: number) => Layer
}
const codebooks: Codebooks = {
  nearest: ({ entries }, dim) => codebookEntries(scope, { entries, dim }),
  gumbel: ({ entries }, dim) => gumbelEntries(scope, { entries, dim }),
}
const codebookOf = <K extends Quantizer['kind']>(
  kind: K,
  q: Extract<Quantizer, { readonly kind: K }>,
  dim: number,
): Layer => codebooks[kind](q, dim)

/** What restarts dead codes in a training step, where the quantiser asks for it. */
export const restartOf = (q: Quantizer, coded: Coded): Amendment | undefined =>
  q.kind === 'nearest' && q.restart !== undefined
    ? restartDeadCodes(`${scope}.embedding.weight`, q.entries, q.restart, coded)
    : undefined

/** Codes int32[N, h, w] to their vectors, [N, dim, h, w]. */
export const vectorsOf = (q: Quantizer, dim: number): Layer => codebookOf(q.kind, q, dim)

/** Gumbel's temperature after some steps: a cosine from start to end (Ramesh et al. 2021, appendix A.2). */
export const temperatureAt = (q: Quantizer, step: number): number => {
  if (q.kind !== 'gumbel') return 1
  const { start, end, steps } = q.temperature
  return end + (start - end) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, step / steps)))
}
