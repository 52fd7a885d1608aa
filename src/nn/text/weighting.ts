import { concat, div, mean, mul, part, type Tensor, unsqueeze } from '../../declare/index.ts'
import { pipe } from '../../prelude.ts'

/** Embeddings of a prompt in chunks, and weights on them, as diffusers' `lpw_stable_diffusion.py` has both. */

/** Embeddings [N, positions, D] of each chunk in a row; without `innerEnds`, starts and ends within the row are left out. */
export const joinChunks = (chunks: readonly Tensor[], innerEnds = true): Tensor =>
  concat(
    1,
    ...chunks.map((chunk, i) => {
      const [, length = 0] = chunk.shape
      const [from, to] = innerEnds ? [0, length] : [i === 0 ? 0 : 1, i === chunks.length - 1 ? length : length - 1]
      return part(chunk, 1, from, to - from)
    }),
  )

/** Embeddings [N, L, D] times weights [N, L], then all of a prompt scaled so that their mean is what it was. */
export const weighEmbeddings =
  (weights: Tensor) =>
  (embeddings: Tensor): Tensor => {
    const average = mean({ axes: [1, 2], keepDims: true })
    const weighed = pipe(embeddings, mul(pipe(weights, unsqueeze(2))))
    return pipe(weighed, mul(pipe(average(embeddings), div(average(weighed)))))
  }
