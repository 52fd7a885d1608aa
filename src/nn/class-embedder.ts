import { at, type Scope, type Tensor, unsqueeze } from '../declare/index.ts'
import { pipe } from '../prelude.ts'
import { embedding } from './layers.ts'

/** How many classes there are, and the width of their embeddings. */
export interface ClassEmbedder {
  readonly classes: number
  readonly dim: number
}
/** Labels int32[N] as one token each, [N, 1, dim]. Source: `ClassEmbedder` of ldm/modules/encoders/modules.py. */
export const classEmbedder = (s: Scope, { classes, dim }: ClassEmbedder): ((labels: Tensor) => Tensor) => {
  const rows = embedding(at(s, 'embedding'), { entries: classes, dim })
  return (labels) => pipe(labels, rows, unsqueeze(1))
}
