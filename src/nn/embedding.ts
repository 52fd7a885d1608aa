import { cast, concat, cos, mul, pad, type Scope, silu, sin, type Tensor, unsqueeze, vector } from '../declare/index.ts'
import { identity, pipe } from '../prelude.ts'
import { type Layer, linear, sequential } from './layers.ts'

const { fround, log, exp } = Math

const waves =
  (dim: number, frequency: (i: number) => number, order: (angles: Tensor) => readonly [Tensor, Tensor]): Layer =>
  (timesteps) => {
    const frequencies = vector(Array.from({ length: Math.floor(dim / 2) }, (_, i) => frequency(i)))
    const angles = pipe(timesteps, cast('float32'), unsqueeze(1), mul(frequencies))
    return pipe(concat(1, ...order(angles)), dim % 2 === 0 ? identity : pad([0, 0], [0, 1]))
  }

/**
 * Timesteps [N], whole or fractional, as sinusoids [N, dim]: cosines, then sines, then a zero column where dim is odd.
 * The frequencies maxPeriod^(-i / half) are rounded to float32 at each step, as in the reference
 * (`timestep_embedding`, ldm/modules/diffusionmodules/util.py).
 */
export const timestepEmbedding = (dim: number, { maxPeriod = 10000 }: { readonly maxPeriod?: number } = {}): Layer => {
  const half = Math.floor(dim / 2)
  const frequency = (i: number): number => fround(exp(fround(fround(fround(-log(maxPeriod)) * i) / half)))
  return waves(dim, frequency, (angles) => [cos(angles), sin(angles)])
}

/**
 * The same with the sines first and frequencies 10000^(-i / (half - 1))
 * (`get_timestep_embedding`, ldm/modules/diffusionmodules/model.py).
 */
export const getTimestepEmbedding = (dim: number): Layer => {
  const step = fround(-log(10000) / (Math.floor(dim / 2) - 1))
  return waves(
    dim,
    (i) => fround(exp(fround(i * step))),
    (angles) => [sin(angles), cos(angles)],
  )
}

/** Two dense layers with SiLU between, under the indices 0 and 2. */
export const timeMlp = (s: Scope, out: number): Layer =>
  sequential(
    (at0) => linear(at0, { out }),
    () => silu,
    (at2) => linear(at2, { out }),
  )(s)
