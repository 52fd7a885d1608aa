import {
  add,
  argMax,
  argMin,
  at,
  broadcast,
  cast,
  div,
  exp,
  floor,
  gather,
  greater,
  integers,
  less,
  log,
  matmul,
  maximum,
  mean,
  mul,
  neg,
  noise,
  type Operand,
  oneHot,
  parameter,
  reshape,
  type Scope,
  scalar,
  scatterAdd,
  select,
  shared,
  softmax,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
  transpose,
} from '../declare/index.ts'
import { type Shape, size } from '../graph/types.ts'
import { flow, identity, pipe } from '../prelude.ts'
import { about, type Decoded, flag, number, record, withDefault, word } from '../schema.ts'
import { entries, width } from './bounds.ts'
import { conv2d, embedding, type Layer, type Mode } from './layers.ts'
import { straightThrough } from './straight-through.ts'

/** How many codes there are, and how wide their vectors are. */
export interface Codebook {
  readonly entries: number
  readonly dim: number
}
const start = ({ entries }: Codebook) => ({ kind: 'uniform', bound: 1 / entries }) as const

/**
 * Codes int32[N, h, w] to the vectors they stand for, [N, dim, h, w].
 * Source: `get_codebook_entry` of taming/modules/vqvae/quantize.py.
 */
export const codebookEntries = (s: Scope, codebook: Codebook): Layer =>
  flow(embedding(at(s, 'embedding'), { ...codebook, init: start(codebook) }), transpose(0, 3, 1, 2))

/** As `codebookEntries`, of the Gumbel quantiser's `embed`. */
export const gumbelEntries = (s: Scope, codebook: Codebook): Layer =>
  flow(embedding(at(s, 'embed'), { ...codebook, init: { kind: 'normal', std: 1 } }), transpose(0, 3, 1, 2))

/** Latents, each the vector of a code. */
export interface Quantized {
  /** The codes' vectors, of the shape of z; their gradient passes to z as it is. */
  readonly y: Tensor
  /** What pulls codes and latents together, a scalar. */
  readonly loss: Tensor
  /** int32[N, h, w]. The reference without `sane_index_shape` has the same codes in one row. */
  readonly codes: Tensor
}

const squaredError = (a: Tensor, b: Tensor): Tensor => pipe(a, sub(b), square, mean())

/** The index of the nearest row of a table, for z[rows, dim]: |z|^2 is the same for all, and left out. */
const nearest =
  (table: Tensor) =>
  (z: Tensor): Tensor =>
    pipe(pipe(table, square, sum({ axes: [1] })), sub(pipe(z, matmul(table, { transposeB: true }), mul(2))), argMin(1))

/** Fields with a default, as declared in experiments. */
export const vectorQuantizerFields = {
  beta: about(
    'Weight of one of the two terms that draw latents and codes together; more of it holds the encoder closer to its codes.',
    withDefault(number({ min: 0, max: 1e6 }), 0.25),
  ),
  weighs: about(
    'Which term beta weighs: "beta" that of the encoder, |sg(e) - z|^2 (van den Oord et al. 2017, equation 3); "legacyBeta" that of the codebook, |e - sg(z)|^2, a slip that the published models were trained with.',
    withDefault(word(['beta', 'legacyBeta']), 'beta'),
  ),
}
/** The codec of a quantiser by nearest codes. */
export const vectorQuantizerConfig = record({ entries, dim: width }, vectorQuantizerFields)
/** `vectorQuantizerConfig`, decoded. */
export type VectorQuantizerConfig = Decoded<typeof vectorQuantizerConfig>

/**
 * z[N, dim, h, w], each vector replaced by the nearest of the codebook (van den Oord et al. 2017, section 3.1). Source:
 * `VectorQuantizer2` of taming/modules/vqvae/quantize.py, whose `legacy` is `legacyBeta`; `VectorQuantizer` is `legacyBeta` too.
 */
export const vectorQuantizer = (s: Scope, { entries, dim, beta, weighs }: VectorQuantizerConfig) =>
  shared((z: Tensor): Quantized => {
    const [n = 0, , h = 0, w = 0] = z.shape
    const table = parameter(at(s, 'embedding'), 'weight', [entries, dim], start({ entries, dim }))
    const codes = pipe(z, transpose(0, 2, 3, 1), reshape(n * h * w, dim), nearest(table), reshape(n, h, w))
    const chosen = pipe(table, gather(codes), transpose(0, 3, 1, 2))
    const [encoder, codebook] = [squaredError(stopGradient(chosen), z), squaredError(chosen, stopGradient(z))]
    const loss = {
      beta: () => pipe(encoder, mul(beta), add(codebook)),
      legacyBeta: () => pipe(codebook, mul(beta), add(encoder)),
    }[weighs]()
    return { y: pipe(z, straightThrough(chosen)), loss, codes }
  })

/** Some of a codebook's codes, numbered anew by their place in `used`. */
export interface Remap {
  readonly used: readonly number[]
  /** What any other code becomes: one further number (`extra`), any of them by chance, or this one. */
  readonly unknown: 'extra' | 'random' | number
}

/** Codes below `entries` to places in `used`; chance is drawn from the noise `<scope>.remap`. */
export const remapToUsed =
  (s: Scope, entries: number, { used, unknown }: Remap): Layer =>
  (codes) => {
    const places = (otherwise: number): Tensor =>
      integers(Array.from({ length: entries }, (_, code) => (used.includes(code) ? used.indexOf(code) : otherwise)))
    if (unknown !== 'random') return pipe(places(unknown === 'extra' ? used.length : unknown), gather(codes))
    const place = pipe(places(-1), gather(codes))
    const chance = pipe(noise(at(s, 'remap'), codes.shape, 'uniform'), mul(used.length), floor, cast('int32'))
    return pipe(place, less(0), select(chance, place))
  }

/** Places in `used` back to codes; the extra number becomes the first of `used`. */
export const unmapToAll =
  ({ used, unknown }: Remap): Layer =>
  (places) =>
    pipe(integers(used), gather(unknown === 'extra' ? pipe(places, less(used.length), select(places, 0)) : places))

/** How often each code occurs, [entries]. */
export const codeCounts =
  (entries: number) =>
  (codes: Tensor): Tensor => {
    const count = size(codes.shape)
    return pipe(scalar(1), broadcast(count), scatterAdd(pipe(codes, reshape(count)), entries))
  }
/** How often each code occurs, [entries], over the number of codes. */
export const codeFrequencies =
  (entries: number) =>
  (codes: Tensor): Tensor =>
    pipe(codes, codeCounts(entries), mul(1 / size(codes.shape)))

/** How much of a codebook is in use, as scalars. */
export interface CodebookUsage {
  /** e to the entropy of the codes' frequencies: `entries` where all are used alike, 1 where only one is. */
  readonly perplexity: Tensor
  /** How many of the codes occur. */
  readonly used: Tensor
}
/** Source: `measure_perplexity` of ldm/modules/losses/vqperceptual.py. */
export const codebookUsage =
  (entries: number) =>
  (codes: Tensor): CodebookUsage => {
    const share = pipe(codes, codeFrequencies(entries))
    return {
      perplexity: pipe(share, mul(pipe(share, add(1e-10), log)), sum(), neg, exp),
      used: pipe(share, greater(0), cast('float32'), sum()),
    }
  }

/** Standard Gumbel noise, -log(-log u) (Jang et al. 2017, equation 1), drawn from the uniform noise `name`. */
export const gumbelNoise = (name: string, shape: Shape): Tensor =>
  pipe(noise(name, shape, 'uniform'), maximum(2 ** -25), log, neg, log, neg)

/** Fields with a default, as declared in experiments. */
export const gumbelQuantizerFields = {
  klWeight: about(
    'Weight of the divergence from the uniform distribution over codes; more of it keeps more codes in use.',
    withDefault(number({ min: 0, max: 1e6 }), 5e-4),
  ),
  hard: about(
    'Whether a position is one code while training too, its gradient that of the mixture [straight_through]; in evaluation it always is.',
    withDefault(flag, true),
  ),
}
/** The codec of a Gumbel quantiser. */
export const gumbelQuantizerConfig = record({ entries, dim: width }, gumbelQuantizerFields)
/** The mixture is the softmax of logits and noise as they are. */
export const gumbelTemperature = 1
/** `gumbelQuantizerConfig`, decoded. */
export type GumbelQuantizerConfig = Decoded<typeof gumbelQuantizerConfig>

/** What the Gumbel quantiser is fed beside z. */
export interface Gumbel extends Mode {
  /** [N, codes, h, w], as `gumbelNoise` draws it; evaluation needs it too, as in the reference. */
  readonly noise: Tensor
  /** How soft the mixture of codes is; a number, or a scalar fed by its schedule. */
  readonly temperature?: Operand
  /** Only these codes may be chosen. */
  readonly used?: readonly number[]
}
/** What the Gumbel quantiser gives. */
export interface GumbelQuantized extends Quantized {
  /** [N, codes, h, w] */
  readonly logits: Tensor
}

/**
 * z[N, C, h, w] to mixtures of codes, softmax((logits + noise) / temperature), or to the likeliest code with the mixture's
 * gradient (Jang et al. 2017, section 2.2); the loss is the KL of softmax(logits) from the uniform distribution. With `used`
 * the codes are places in it. Source: `GumbelQuantize` of taming/modules/vqvae/quantize.py.
 */
export const gumbelQuantizer = (s: Scope, { entries, dim, klWeight, hard }: GumbelQuantizerConfig) =>
  shared(
    (
      z: Tensor,
      { noise: gumbel, temperature = gumbelTemperature, used, training = false }: Gumbel,
    ): GumbelQuantized => {
      const chosen: Layer = used === undefined ? identity : gather(integers(used))
      const logits = pipe(
        z,
        conv2d(at(s, 'proj'), { out: entries, kernel: 1 }),
        used === undefined ? identity : flow(transpose(1, 0, 2, 3), chosen, transpose(1, 0, 2, 3)),
      )
      const table = pipe(parameter(at(s, 'embed'), 'weight', [entries, dim], { kind: 'normal', std: 1 }), chosen)
      const soft = pipe(logits, add(gumbel), div(temperature), softmax(1), transpose(0, 2, 3, 1))
      const likeliest = pipe(soft, argMax(3))
      const mixture =
        hard || !training ? pipe(soft, straightThrough(pipe(likeliest, oneHot(soft.shape[3] ?? 0)))) : soft
      const q = pipe(logits, softmax(1))
      const divergence = pipe(q, mul(pipe(q, mul(entries), add(1e-10), log)), sum({ axes: [1] }), mean())
      return {
        y: pipe(mixture, matmul(table), transpose(0, 3, 1, 2)),
        loss: pipe(divergence, mul(klWeight)),
        codes: likeliest,
        logits,
      }
    },
  )
