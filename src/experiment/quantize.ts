import { constant, input, scalar, type Tensor } from '../declare/index.ts'
import { float } from '../graph/types.ts'
import type { Layer } from '../nn/layers.ts'
import {
  codebookEntries,
  gumbelEntries,
  gumbelNoise,
  gumbelQuantizer,
  type Quantized,
  type Remap,
  remapToUsed,
  unmapToAll,
  vectorQuantizer,
} from '../nn/quantize.ts'
import { type Amendment, type Coded, restartDeadCodes } from '../optimizers/index.ts'
import { flow, identity } from '../prelude.ts'
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
  gumbel: ({ entries, klWeight, hard, used }, z, { training, noise }) => {
    const [n = 0, dim = 0, ...positions] = z.shape
    const shape = [n, used?.length ?? entries, ...positions]
    return gumbelQuantizer(scope, { entries, dim, klWeight, hard })(z, {
      noise: training ? gumbelNoise(noise, shape) : constant([0], float(...shape)),
      temperature: training ? input(temperatureLeaf, float()) : scalar(1),
      training,
      ...(used === undefined ? {} : { used }),
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

/** Codes that are numbered anew; `gumbel` gives such numbers itself. */
const remapOf = (q: Quantizer): Remap | undefined => {
  if (q.kind === 'gumbel') return q.used === undefined ? undefined : { used: q.used, unknown: 'extra' }
  const unknown = q.remap?.unknown
  return q.remap === undefined || unknown === undefined
    ? undefined
    : { used: q.remap.used, unknown: unknown.kind === 'index' ? unknown.index : unknown.kind }
}

/** Codes of `quantize` to their numbers. */
export const numbered = (q: Quantizer): Layer => {
  const remap = remapOf(q)
  return remap === undefined || q.kind === 'gumbel' ? identity : remapToUsed(scope, q.entries, remap)
}
/** How many numbers stand for a code. */
export const usedNumbers = (q: Quantizer): number => remapOf(q)?.used.length ?? q.entries
/** How many numbers there may be: of the codes, and where there is one the further number of all others. */
export const numbersOf = (q: Quantizer): number =>
  usedNumbers(q) + (q.kind === 'nearest' && q.remap?.unknown.kind === 'extra' ? 1 : 0)

/** Numbers of codes int32[N, h, w] to the codes' vectors, [N, dim, h, w]. */
export const vectorsOf = (q: Quantizer, dim: number): Layer => {
  const remap = remapOf(q)
  return flow(remap === undefined ? identity : unmapToAll(remap), codebookOf(q.kind, q, dim))
}

/** Gumbel's temperature after some steps: a cosine from start to end (Ramesh et al. 2021, appendix A.2). */
export const temperatureAt = (q: Quantizer, step: number): number => {
  if (q.kind !== 'gumbel') return 1
  const { start, end, steps } = q.temperature
  return end + (start - end) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, step / steps)))
}
