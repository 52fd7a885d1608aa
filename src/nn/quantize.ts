import { at, type Scope, transpose } from '../declare/index.ts'
import { flow } from '../prelude.ts'
import { embedding, type Layer } from './layers.ts'

export interface Codebook {
  readonly entries: number
  readonly dim: number
}
/**
 * Codes int32[N, h, w] to the vectors they stand for, [N, dim, h, w].
 * Source: `get_codebook_entry` of taming/modules/vqvae/quantize.py.
 */
export const codebookEntries = (s: Scope, { entries, dim }: Codebook): Layer =>
  flow(
    embedding(at(s, 'embedding'), { entries, dim, init: { kind: 'uniform', bound: 1 / entries } }),
    transpose(0, 3, 1, 2),
  )
